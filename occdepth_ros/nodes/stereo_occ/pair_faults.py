"""Faults of pairs: what a usable pair clears, and the error of an unusable one."""

from __future__ import annotations

from collections.abc import Iterable

from occdepth_ros.errors import InputWarning, OccDepthError
from occdepth_ros.nodes.faults import Component, FaultBoard, NamedError, describe
from occdepth_ros.nodes.stereo_occ.calibration import StereoCalibration
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.rig_checks import RigChecks
from occdepth_ros.stereo.pair_checks.input_checks import UnusablePairError
from occdepth_ros.stereo.pair_checks.swap_guard import SwappedError

WATCHED = ("stream_stopped", "stream_ended")
"""Faults that only `StreamWatch` clears; a usable pair does not clear them."""

PERIODIC = "periodic_texture"
"""The fault that only the completed prediction of a pair puts and clears."""


def named(error: Exception, model: str) -> NamedError:
    """Return the error of an unusable pair as a `NamedError`; `model` is the name of the model in use."""
    if isinstance(error, NamedError):
        return error
    if isinstance(error, UnusablePairError):
        return NamedError(error.name, Component.INPUT, error.what, where=error.where, remedy=error.remedy)
    if isinstance(error, SwappedError):
        return NamedError("swapped", Component.INPUT, error.what, where=error.where, remedy=error.remedy)
    if isinstance(error, OccDepthError):
        return NamedError("inference", Component.MODEL, error.what, where=error.where, remedy=error.remedy)
    text = f"the model failed on this pair ({describe(error)})"
    return NamedError("inference", Component.MODEL, text, where=model)


def note_usable(
    faults: FaultBoard,
    settings: Settings,
    calibration: StereoCalibration,
    rig_checks: RigChecks,
    camera_frame: str,
    pose_source: str,
) -> None:
    """Clear the faults that a usable pair refutes, and put the warnings about its calibration.

    Args:
        faults: the present faults.
        settings: `extrinsics` and `grid_frame` are used.
        calibration, rig_checks: of the pair.
        camera_frame: frame of the left image.
        pose_source: as of `GridPose`.
    """
    info_frame = calibration.info_frame("left")
    mismatch = info_frame != camera_frame
    keep = (*WATCHED, PERIODIC, *(["frame_id"] if mismatch else []))
    warnings = (*calibration.warnings, *rig_checks.warnings)
    names = tuple(warning.name for warning in warnings)
    faults.clear_component(Component.INPUT, keep=keep)
    faults.clear_component(Component.CALIBRATION, keep=names)
    from_parameters = pose_source == "parameters" and settings.extrinsics == "auto"
    faults.clear_component(Component.EXTRINSICS, keep=(*names, "no_tf") if from_parameters else names)
    put_warnings(faults, calibration.warnings, Component.CALIBRATION)
    put_warnings(faults, rig_checks.warnings, Component.EXTRINSICS)
    if mismatch:
        text = (
            f"the frame_id of left/image_rect is {camera_frame!r}, that of left/camera_info is {info_frame!r}: "
            "the frame_id of the image is used."
        )
        faults.put("frame_id", Component.INPUT, text, is_error=False)
    if from_parameters:
        text = (
            f"TF does not connect {settings.grid_frame!r} to {camera_frame!r}: the parameters "
            "camera_from_grid_* are used."
        )
        faults.put("no_tf", Component.EXTRINSICS, text, is_error=False)


def put_warnings(faults: FaultBoard, warnings: Iterable[InputWarning], component: Component) -> None:
    """Put warnings, by their names."""
    for warning in warnings:
        faults.put(warning.name, component, str(warning), is_error=False)
