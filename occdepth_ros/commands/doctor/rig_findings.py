"""Findings on a stereo rig: each error with its size and the value to change."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from occdepth_ros.camera import StereoRig
from occdepth_ros.commands.doctor.findings import Finding, State
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.rotation import quaternion_of
from occdepth_ros.stereo.calibration.extrinsics_checks import CameraPose, share_in_view
from occdepth_ros.stereo.ground.pose import (
    LIMITS,
    MIN_MEASUREMENTS,
    PITCH_LIMIT,
    PITCH_LIMIT_PLACES,
    GroundPose,
    expected_ground,
    with_measured_pose,
)
from occdepth_ros.stereo.matching import SIGMA_PX
from occdepth_ros.stereo.rig_assessment.assessment import RigAssessment

ROWS_NOTED, ROWS_WRONG = (0.5, 1.5), (1.0, 3.0)
"""Limits of the median and of the 95th percentile of the row offset, pixels. On KITTI they are 0.05 to 0.29 and 0.57 to
0.85. Matching searches one row only: with a median of 1 pixel it loses most of the fine structure."""
DELAY_NOTED, DELAY_WRONG = 0.008, 0.020
"""Limit of the delay between the cameras, seconds; on KITTI, whose cameras are triggered together, 1.7 to 5.3 ms."""
DELAY_ERROR = 0.004
"""Largest standard error of a delay that is reported, seconds."""
EXPOSURE_NOTED, EXPOSURE_WRONG = 1.25, 2.0
"""Limit of the brightness ratio of the two images, or of its inverse."""
SWAPPED = 0.5
"""Share of matches with a negative disparity above which the images count as swapped; at most 0.01 on KITTI."""
DIVERGING_PX = -1.0
"""Disparity of the farthest points below which the optical axes diverge, pixels."""
MIN_SHARE = 0.05
"""Share of the grid in view below which a warning is given; KITTI's cameras see 0.25 of the SemanticKITTI grid."""


def calibration_finding(rig: StereoRig, resolution: float) -> Finding:
    """Return the finding on baseline and focal length, with the depth error that follows from them."""
    fx = float(rig.left.projection[0, 0])
    angle = math.degrees(2 * math.atan(rig.left.width / (2 * fx)))
    # depth error = depth^2 * disparity error / (fx * baseline)
    reach = math.sqrt(resolution * fx * rig.baseline / SIGMA_PX)
    text = (
        f"baseline {rig.baseline:.3f} m, fx {fx:.1f} px for {rig.left.width} px of width (field of view {angle:.0f} "
        f"deg); the depth error reaches one voxel ({resolution:g} m) at {reach:.0f} m"
    )
    return Finding("calibration", State.OK, text)


def match_findings(found: RigAssessment | None) -> Iterator[Finding]:
    """Yield the findings on order, rows, optical axes, delay and exposure of the images."""
    if found is None:
        remedy = "check for darkness, blur, covered lenses, and whether both cameras see the same scene"
        yield Finding("matches", State.WRONG, "too few features match between the left and the right images", remedy)
        return
    yield Finding("matches", State.OK, f"{found.matches} features in {found.pairs} pairs")
    if found.negative > SWAPPED:
        text = f"{found.negative:.0%} of the features have a negative disparity: left and right are swapped"
        remedy = "exchange the two image topics or folders; each calibration stays with its own camera"
        yield Finding("order", State.WRONG, text, remedy)
    else:
        yield Finding("order", State.OK, "left is left of right")
        yield _axes(found)
    yield _rows(found)
    yield _delay(found)
    yield _exposure(found)


def _axes(found: RigAssessment) -> Finding:
    text = f"the farthest features have a disparity of {found.farthest:+.1f} px"
    if found.farthest >= DIVERGING_PX:
        return Finding("optical axes", State.OK, text)
    remedy = (
        f"increase cx of the right P by {-found.farthest:.1f} px, or calibrate again: the right camera is rotated to "
        "the left of what the calibration states"
    )
    return Finding("optical axes", State.WRONG, f"{text}, farther than infinity", remedy)


def _rows(found: RigAssessment) -> Finding:
    text = (
        f"features are {_signed(found.row_median, 2)} px lower in the left image (median), 95 % within "
        f"{found.row_95:.2f} px"
    )
    measured = abs(found.row_median), found.row_95
    if all(value < limit for value, limit in zip(measured, ROWS_NOTED, strict=True)):
        return Finding("rows", State.OK, text)
    is_delayed = found.delay is not None and abs(found.delay) > max(DELAY_WRONG, 3 * found.delay_error)
    causes = {
        f"a tilt of the right camera by {_signed(found.tilt, 2)} deg (cy of the right P off by "
        f"{-found.row_median:+.1f} px)": abs(found.row_median) if not is_delayed else 0.0,
        f"a roll of the right camera by {_signed(found.roll, 2)} deg": abs(math.radians(found.roll)) * 300,
        f"focal lengths that differ by {found.magnification:+.1%}": abs(found.magnification) * 100,
        "the delay between the cameras": 5.0 if is_delayed else 0.0,
    }
    largest = max(causes, key=lambda cause: causes[cause])
    state = State.WRONG if any(v >= limit for v, limit in zip(measured, ROWS_WRONG, strict=True)) else State.NOTE
    remedy = f"{largest} explains most of it; " + (
        "synchronize the cameras" if is_delayed else "calibrate and rectify the pair again"
    )
    return Finding("rows", state, f"{text}: rows do not match", remedy)


def _delay(found: RigAssessment) -> Finding:
    if found.delay is None or found.delay_error > DELAY_ERROR:
        text = "not measurable: too little image motion, or consecutive images are missing"
        return Finding("delay", State.NOTE, text, "give images of a moving or turning robot")
    milliseconds, error = 1e3 * found.delay, 1e3 * found.delay_error
    text = f"the right image is {_signed(milliseconds, 1)} ms later than the left one (standard error {error:.1f} ms)"
    if abs(found.delay) <= max(DELAY_NOTED, 3 * found.delay_error):
        return Finding("delay", State.OK, text)
    state = State.WRONG if abs(found.delay) > DELAY_WRONG else State.NOTE
    remedy = (
        f"trigger both cameras together, or correct the stamps of one of them by {abs(milliseconds):.0f} ms; check "
        "that each left image is paired with its own right image"
    )
    return Finding("delay", state, text, remedy)


def _exposure(found: RigAssessment) -> Finding:
    ratio = found.exposure
    text = f"the right image has {ratio:.0%} of the brightness of the left one"
    difference = max(ratio, 1 / ratio) if ratio > 0 else math.inf
    if difference < EXPOSURE_NOTED:
        return Finding("exposure", State.OK, text)
    remedy = "give both cameras one exposure time and gain (one exposure control for both)"
    return Finding("exposure", State.WRONG if difference > EXPOSURE_WRONG else State.NOTE, text, remedy)


def coverage_finding(rig: StereoRig, grid: VoxelGrid, measured: GroundPose | None) -> Finding:
    """Return the finding on the share of the grid in view and on the nearest ground in view."""
    share = share_in_view(rig, grid)
    text = f"{share:.0%} of the grid's voxels are in view"
    pose = measured.pose if measured else CameraPose.of(rig.left_from_grid)
    k = rig.left.intrinsics
    below = math.degrees(math.atan((rig.left.height - 1 - k[1, 2]) / k[1, 1])) - pose.pitch
    if 0 < below < 90 and pose.height > 0:
        text += f"; level ground is in view from {pose.height / math.tan(math.radians(below)):.1f} m ahead"
    if share >= MIN_SHARE:
        return Finding("grid", State.OK, text)
    pose_text = CameraPose.of(rig.left_from_grid)
    remedy = f"change grid_origin, grid_frame or the pose: the left camera is {pose_text} in {grid.frame_id}"
    return Finding("grid", State.NOTE if share > 0.01 else State.WRONG, text, remedy)


def pose_findings(rig: StereoRig, grid: VoxelGrid, measured: GroundPose | None, *, is_base: bool) -> Iterator[Finding]:
    """Yield the findings on pitch, roll and height of the left camera: measured from the ground, and stated."""
    if measured is None:
        remedy = "give images of level ground; the ground must fill a part of the lower half of the image"
        yield Finding("pose", State.NOTE, "no ground plane was found: height and pitch are not measured", remedy)
        return
    stated = CameraPose.of(rig.left_from_grid)
    evidence = f"{measured.pairs} pairs at {measured.places} places"
    pitch_limit, roll_limit, height_limit = LIMITS[measured.pairs >= MIN_MEASUREMENTS]
    if measured.places >= PITCH_LIMIT_PLACES:
        pitch_limit = PITCH_LIMIT
    correct = _corrected(rig, grid, measured, is_base=is_base)
    for name, value, given, limit in (
        ("pitch", measured.pose.pitch, stated.pitch, pitch_limit),
        ("roll", measured.pose.roll, stated.roll, roll_limit),
    ):
        text = f"{_signed(value, 1)} deg measured, {_signed(given, 1)} deg stated ({evidence})"
        difference = abs(value - given)
        if difference > limit:
            yield Finding(name, State.WRONG, text, f"change the {name} to {_signed(value, 1)} deg: {correct}")
        elif name == "pitch" and difference > PITCH_LIMIT:
            remedy = f"record level ground at {PITCH_LIMIT_PLACES} places or more to separate the pose from a slope"
            yield Finding(name, State.NOTE, text, remedy)
        else:
            yield Finding(name, State.OK, text)
    low, expected, high = expected_ground(grid, is_base)
    ground = stated.height - measured.pose.height
    slack = max(0.0, height_limit - 0.3)
    given = round(stated.height, 2) + 0.0  # without a negative zero
    text = (
        f"{measured.pose.height:.2f} m above the ground measured; stated {given:.2f} m above the origin of "
        f"{grid.frame_id}, which puts the ground at z = {ground:+.2f} m (expected {expected:+.2f} m)"
    )
    if low - slack <= ground <= high + slack:
        yield Finding("height", State.OK, text)
        return
    baseline = rig.baseline * (stated.height - expected) / measured.pose.height
    remedy = f"{correct}; if the stated height is right, the baseline is wrong: {baseline:.3f} m would agree with it"
    yield Finding("height", State.WRONG, text, remedy)


def _corrected(rig: StereoRig, grid: VoxelGrid, measured: GroundPose, *, is_base: bool) -> str:
    """Return the text with the pose of the left camera in the grid's frame that agrees with the measured ground."""
    pose = np.linalg.inv(with_measured_pose(rig, grid, measured, is_base=is_base).left_from_grid)
    x, y, z = pose[:3, 3]
    return (
        f"left optical frame in {grid.frame_id}: translation ({x:.3f}, {y:.3f}, {z:.3f}) m, quaternion xyzw "
        f"({', '.join(f'{value:.4f}' for value in quaternion_of(pose[:3, :3]))}); --measured-pose and the parameter "
        "measured_extrinsics use it"
    )


def _signed(value: float, digits: int) -> str:
    """Format a number with its sign, without a negative zero."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"
