"""Plausibility checks of the cameras' pose in the grid's frame: body frames, upward cameras, grids out of view."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, InputWarning
from occdepth_ros.grid import VoxelGrid

OPTICAL_FROM_BODY: Matrix = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
"""Pose of a body frame (x forward, y left, z up; REP-103) in the optical frame of a camera with its optical axis along
x."""
UPWARD = 45.0
"""Elevation of the optical axis above which the pose is refused, degrees."""
HIGH = 25.0
"""Elevation of the optical axis above which a warning is given, degrees."""
FAR_M = 25.0
"""Distance of the camera from the origin of the grid's frame above which a warning is given, metres."""
BELOW_BASE_M = 0.6
"""Depth below the origin of a vehicle's base at which the ground is reached at the latest, metres."""
MIN_DISTANCE_M, MAX_BASELINE_ERROR = 0.002, 0.1
"""Distance of the cameras' frames from which it is compared with the baseline, metres, and relative difference above
which a warning is given: a drawing of a robot has rounded values."""
MIN_SHARE = 0.01
"""Share of the grid's voxels in the left image below which a warning is given."""


@dataclass(frozen=True)
class CameraPose:
    """Pose of the left camera in the grid's frame.

    Args:
        height: z of the optical centre, metres.
        pitch: elevation of the optical axis above the grid's xy plane, degrees; negative looks down.
        roll: rotation about the optical axis, degrees; positive where the camera's right side is lower.
    """

    height: float
    pitch: float
    roll: float

    @classmethod
    def of(cls, left_from_grid: Matrix) -> CameraPose:
        """Compute it from the pose of the grid's frame in the left optical frame, `[4, 4]`."""
        grid_from_left = np.linalg.inv(left_from_grid)
        right, down, forward = (grid_from_left[2, axis] for axis in range(3))
        return cls(
            float(grid_from_left[2, 3]),
            math.degrees(math.asin(np.clip(forward, -1, 1))),
            math.degrees(math.atan2(-right, -down)),
        )

    def __str__(self) -> str:
        # rounded first: a sum with 0 has no negative zero
        height, pitch, roll = round(self.height, 2) + 0.0, round(self.pitch, 1) + 0.0, round(self.roll, 1) + 0.0
        return f"{height:.2f} m high, pitch {pitch:+.1f} deg, roll {roll:+.1f} deg"


def is_body_frame(camera_from_grid: Matrix) -> bool:
    """Return whether a camera frame is oriented like a body frame: its z axis, expected as optical axis, points up.

    Args:
        camera_from_grid: pose of the grid's frame in the camera's frame, `[4, 4]`.
    """
    x, y, z = (math.degrees(math.asin(np.clip(camera_from_grid[axis, 2], -1, 1))) for axis in range(3))
    return z > UPWARD and abs(y) < 30 and abs(x) < UPWARD


def body_frame_warning(frame: str, camera_from_grid: Matrix) -> InputWarning:
    """Return the warning about images in a body frame, for which an optical axis along x is assumed.

    Args:
        frame: frame of the images.
        camera_from_grid: pose of the grid's frame in it, `[4, 4]`.
    """
    pitch = CameraPose.of(camera_from_grid).pitch
    return InputWarning(
        "body_frame",
        f"the frame {frame!r} of the images is a body frame (x forward, z up), not an optical frame: its z axis, which "
        f"is the optical axis, points {pitch:.0f} degrees upward; its x axis is taken as the optical axis",
        "extrinsics",
        f"Publish the images in an optical frame (x right, y down, z forward), such as {frame}_optical.",
    )


def check_extrinsics(rig: StereoRig, where: str) -> tuple[InputWarning, ...]:
    """Check the pose of the cameras in the grid's frame.

    Args:
        rig: the calibrated cameras.
        where: origin of the pose, for messages.

    Raises:
        CalibrationError: the optical axis of the left camera points upwards by more than `UPWARD` degrees.
    """
    pose = CameraPose.of(rig.left_from_grid)
    what = f"the optical axis of the left camera points {pose.pitch:.0f} degrees above the horizon of the grid's frame"
    remedy = (
        "Give the pose of the optical frame (x right, y down, z forward); the rotation of a level camera that looks "
        "along x is the quaternion (-0.5, 0.5, -0.5, 0.5)."
    )
    if pose.pitch > UPWARD:
        raise CalibrationError(f"{what}, into the sky", where=where, remedy=remedy)
    warnings = []
    if pose.pitch > HIGH:
        warnings.append(InputWarning("camera_looks_up", what, where, remedy))
    far = float(np.linalg.norm(np.linalg.inv(rig.left_from_grid)[:3, 3]))
    if far > FAR_M:
        units = f"centimetres ({far / 100:.3g} m) or millimetres ({far / 1000:.3g} m)"
        guess = f": the translation is probably in {units}" if far > 50 else ""
        text = f"the left camera is {far:.4g} m from the origin of the grid's frame{guess}"
        warnings.append(InputWarning("camera_far", text, where, "Give the translation in metres, in the right frame."))
    if abs(pose.roll) > 45:
        text = f"the left camera is rolled by {pose.roll:.0f} degrees about its optical axis"
        warnings.append(InputWarning("camera_rolled", text, where, remedy))
    return tuple(warnings)


def check_baseline_in_tf(rig: StereoRig, left_from_right: Matrix | None, where: str) -> tuple[InputWarning, ...]:
    """Compare the baseline with the distance of the frames of the two cameras.

    Args:
        rig: the calibrated cameras.
        left_from_right: pose of the right camera's frame in the left one, `[4, 4]`; None = unknown.
        where: names of the frames.
    """
    distance = 0.0 if left_from_right is None else float(np.linalg.norm(left_from_right[:3, 3]))
    # drivers may give the images of both cameras one frame
    if distance < MIN_DISTANCE_M or abs(distance / rig.baseline - 1) <= MAX_BASELINE_ERROR:
        return ()
    text = (
        f"the baseline of the calibration is {rig.baseline:.4g} m, the frames of the cameras are {distance:.4g} m "
        "apart in TF: one of them belongs to another rig, or has another unit"
    )
    remedy = "Correct P[0,3] = -fx * baseline or the transform: all distances are proportional to the baseline."
    return (InputWarning("baseline_contradicts_tf", text, where, remedy),)


def share_in_view(rig: StereoRig, grid: VoxelGrid, samples: int = 24) -> float:
    """Return the share of the grid's volume in the view of the left camera, occluded or not, 0 to 1.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
        samples: points along each axis.
    """
    axes = [np.linspace(o, o + e, 2 * samples + 1)[1::2] for o, e in zip(grid.origin, grid.extent, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    pose, camera = rig.left_from_grid, rig.left
    x, y, z = pose[:3, :3] @ points.T + pose[:3, 3:]
    ahead = z > 1e-3
    depth = np.where(ahead, z, 1)
    k = camera.intrinsics
    column, row = k[0, 0] * x / depth + k[0, 2], k[1, 1] * y / depth + k[1, 2]
    inside = ahead & (column > -0.5) & (column < camera.width - 0.5) & (row > -0.5) & (row < camera.height - 0.5)
    return float(inside.mean())


def check_view(rig: StereoRig, grid: VoxelGrid, where: str, *, is_base: bool = False) -> tuple[InputWarning, ...]:
    """Warn if hardly any voxel of the grid is in view, or the camera is below the ground or above the grid.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
        where: origin of the pose, for messages.
        is_base: whether the grid's frame is a vehicle's base, which lies on the ground or less than a metre above it.
    """
    warnings = []
    share = share_in_view(rig, grid)
    pose = CameraPose.of(rig.left_from_grid)
    if share < MIN_SHARE:
        what = f"{share:.1%} of the grid's voxels are in view: the left camera is {pose} in the frame {grid.frame_id!r}"
        remedy = "Choose another grid or camera, or correct the pose."
        warnings.append(InputWarning("grid_out_of_view", what, where, remedy))
    floor, top = grid.origin[2], grid.origin[2] + grid.extent[2]
    lowest = max(floor, -BELOW_BASE_M) if is_base else floor
    if not lowest <= pose.height <= top:
        place = (
            f"above the grid, which ends at {top:.1f} m"
            if pose.height > top
            else "below the ground"
            if is_base
            else f"below the grid, which begins at {floor:.1f} m"
        )
        what = f"the left camera is at z = {pose.height:.2f} m of the frame {grid.frame_id!r}, {place}"
        remedy = "Check sign and unit of the translation, and its direction: the pose of the camera in this frame."
        warnings.append(InputWarning("camera_height", what, where, remedy))
    return tuple(warnings)


def summarize(rig: StereoRig, grid: VoxelGrid, images: str, choice: str, pose_source: str) -> str:
    """Describe the rig in one line: images and their choice, grid frame, origin of the pose, camera pose, share in
    view.
    """
    parts = [
        images + (f" ({choice})" if choice else ""),
        f"grid frame {grid.frame_id}",
        f"pose from {pose_source or 'the calibration'}",
        f"left camera {CameraPose.of(rig.left_from_grid)}",
        f"baseline {rig.baseline:.3f} m",
        f"{share_in_view(rig, grid):.0%} of the grid in view",
    ]
    return "; ".join(part for part in parts if part)
