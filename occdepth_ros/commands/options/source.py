"""`--source` and related options, and the summary and warnings that are printed after opening a source."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

import numpy as np
from rich.console import Console

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CalibrationError, ImageError, OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources import SourceOptions, StereoSource, open_source
from occdepth_ros.sources.grid_frames import is_base_frame
from occdepth_ros.sources.readable import DAMAGED, first_readable
from occdepth_ros.stereo.calibration.extrinsics_checks import CameraPose, check_view, summarize
from occdepth_ros.stereo.ground.history import GroundHistory
from occdepth_ros.stereo.ground.pose import (
    GroundPose,
    GroundPoseMeter,
    check_ground_pose,
    with_measured_pose,
)
from occdepth_ros.stereo.pair_checks.row_check import Rows, check_rows, row_differences

MEASURED_PAIRS = 15
"""Number of pairs in which the ground is measured, spread over the frames."""


def add_source_arguments(parser: argparse._ActionsContainer, *, measured_pose: bool = True, path: bool = True) -> None:
    """Declare the options; `measured_pose` and `path` select whether `--measured-pose` and `--source` are declared."""
    add = parser.add_argument
    if path:
        add(
            "--source",
            type=Path,
            metavar="PATH",
            help="KITTI sequence, KITTI raw drive, ROS 1 or ROS 2 bag, or folder (default: the bundled sample)",
        )
    add("--topics", metavar="PART", default="", help="bag: part of the image topics' names, such as a namespace")
    add("--left", metavar="TOPIC", default="", help="bag: topic of the left images")
    add("--right", metavar="TOPIC", default="", help="bag: topic of the right images")
    add("--grid-frame", metavar="FRAME", default="", help="bag: frame of TF in which the voxel grid is fixed")
    if measured_pose:
        add(
            "--measured-pose",
            action="store_true",
            help="use height, pitch and roll of the cameras above the ground that stereo matching finds",
        )


def open_chosen_source(arguments: argparse.Namespace) -> StereoSource:
    """Open the source that the options specify.

    Raises:
        SourceError, ImageError, CalibrationError: as `open_source`.
    """
    options = SourceOptions(arguments.topics, arguments.left, arguments.right, arguments.grid_frame)
    return open_source(arguments.source, options)


def checked_rig(source: StereoSource, grid: VoxelGrid, frames: range, *, use_measured: bool) -> StereoRig:
    """Print the rig, the pose estimated from the ground in the images, and the warnings to stderr.

    Args:
        source: warnings are added to its description.
        grid: the voxels.
        frames: the frames that will be used.
        use_measured: whether the measured height, pitch and roll replace the stated ones.

    Returns:
        the rig to use.

    Raises:
        CalibrationError: the measured pose is requested, and there is none, or the cameras move.
    """
    where = source.description.images or source.name
    is_base = is_base_frame(grid.frame_id)
    source.description = source.description.with_warnings(
        *check_view(source.rig, grid, source.name, is_base=is_base), *check_rows(measured_rows(source, frames), where)
    )
    about = source.description
    measured = measured_ground(source, frames)
    line = summarize(source.rig, grid, about.images or source.name, about.choice, about.pose)
    ground = f"ground {measured.pose} below the left camera ({measured.pairs} pairs)" if measured else "no ground found"
    _print(f"{line}; {ground.replace(' high', '')}")
    rig = source.rig
    if use_measured:
        if measured is None:
            raise CalibrationError(
                "stereo matching finds no ground plane in these frames", where="--measured-pose", remedy="Leave it out."
            )
        if first_readable(source, frames).rig is not None:
            raise CalibrationError(
                "the cameras move relative to the grid's frame", where="--measured-pose", remedy="Leave it out."
            )
        rig = with_measured_pose(source.rig, grid, measured, is_base=is_base)
        _print(f"using the measured pose: left camera {CameraPose.of(rig.left_from_grid)} in {grid.frame_id}")
    elif measured is not None:
        found = check_ground_pose(
            source.rig,
            grid,
            measured,
            is_base=is_base,
            where=about.pose or source.name,
            remedy="Correct the stated pose, or use the measured one with --measured-pose.",
        )
        source.description = source.description.with_warnings(*found)
    for warning in source.description.warnings:
        _print(f"warning: {warning.name}: {warning}")
    return rig


def measured_ground(source: StereoSource, frames: range) -> GroundPose | None:
    """Measure the ground in some of the frames; return None if no ground is found or the cameras move.

    A ground that lies above the camera is added to the warnings of the source.
    """
    try:
        meter = GroundPoseMeter(source.rig)
    except CalibrationError:
        return None
    history = GroundHistory()
    for position in np.unique(np.linspace(0, len(frames) - 1, MEASURED_PAIRS).round().astype(int)):
        try:
            frame = source[frames[int(position)]]
            if (
                frame.rig is None
                and frame.left.shape == frame.right.shape
                and frame.left.shape[1] == source.rig.left.width
            ):
                pose = meter.measure(frame.left, frame.right)
                if pose is not None:
                    history.add(pose, frame.left, frame.stamp_ns)
        except (OccDepthError, OSError):  # named where the frame is used
            continue
    where = source.description.images or source.name
    source.description = source.description.with_warnings(*meter.warnings(where))
    return history.median


def measured_rows(source: StereoSource, frames: range) -> list[Rows]:
    """Measure the row differences of matched features in the first, the middle and the last frame."""
    rows = []
    for position in {0, len(frames) // 2, len(frames) - 1}:
        with suppress(OccDepthError, OSError):  # named where the frame is used
            frame = source[frames[position]]
            if frame.left.shape == frame.right.shape and frame.left.shape[1] == source.rig.left.width:
                rows.append(row_differences(frame.left, frame.right, source.rig))
    return rows


def print_damaged(index: int, error: ImageError) -> None:
    """Print a warning that a frame cannot be read, on stderr."""
    _print(f"warning: {DAMAGED}: frame {index} is left out: {error}")


def _print(text: str) -> None:
    Console(stderr=True).print(text, soft_wrap=True, highlight=False, markup=False)
