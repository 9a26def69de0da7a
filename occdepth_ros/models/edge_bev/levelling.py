"""Level frames that follow the measured ground: the network predicts in them, and the result is resampled to the grid.

The network was trained with a level road 0.47 m above the lower face of its grid. If the measured ground deviates from
this in height, pitch or roll, a level frame replaces the grid's frame. Deviations are rounded to steps, so that a drive
needs few frames. The frame of a pair depends only on this pair.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.evidence import STANDARD_HEIGHT, Measurement, StereoEvidence
from occdepth_ros.models.edge_bev.loops.readout import mark_unknown_below, resample
from occdepth_ros.models.edge_bev.tables import BevTables
from occdepth_ros.stereo.ground.pose import FAR, ground_of_points
from occdepth_ros.stereo.matching import STEPS

MIN_RISE, MIN_FALL, MIN_ROLL = 2.3, 1.2, 2.5
MIN_ABOVE_M, MIN_BELOW_M = 0.4, 0.2
"""Deviations in pitch (rising and falling road) and roll, degrees, and in height (above and below the standard) up to
which the grid's own frame is used. A falling or low road leaves the grid through its lower face; any other stays in it,
where the profile of the ground follows it, and frames that follow errors of the measurement cost more than they gain.
"""
STEP_DEGREES, STEP_M = 0.5, 0.05
"""Steps to which deviations are rounded."""
LARGEST_DEGREES, LARGEST_M = 12.0, 2.0
STEEPEST = 0.25
"""Largest deviations that are followed: above them, the measured surface is not a road, or the pose is wrong, which is
reported elsewhere. `STEEPEST` is the largest searched slope, metres per metre."""
ROUGH_FALL, ROUGH_RISE, ROUGH_ROLL = 0.5, 1.6, 1.8
ROUGH_ABOVE_M, ROUGH_BELOW_M = 0.25, 0.1
"""Deviations of the ground in the grid, as above, up to which it is not measured again without the bounds of the grid.
They are smaller by the usual difference of the two measurements on KITTI's roads."""
STRIDE = 3
"""Stride of the rows and columns of the disparity map for this measurement."""
KEPT = 4
"""Number of level frames whose tables are kept for one calibration."""
BELOW_SEEN, BELOW_UNSEEN = 1.25, 3.0
"""Distance of a voxel's upper face below the ground above which the voxel is unknown, voxel edges: in columns with seen
ground, and in all others."""

Steps = tuple[int, int, int]
"""Rounded deviation in pitch, roll and height."""


@dataclass(frozen=True)
class LevelFrame:
    """A frame that follows the ground, and the tables of the network in it.

    Args:
        grid_from_level: its pose in the grid's frame, `[4, 4]`, metres.
        evidence: stereo evidence in this frame.
        projection: tables in this frame.
        index: flat index of the voxel of this frame at every voxel of the grid, -1 outside this frame, `[X Y Z]` int32.
    """

    grid_from_level: Matrix
    evidence: StereoEvidence
    projection: BevTables
    index: torch.Tensor

    def resampled(self, labels: torch.Tensor, confidence: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Resample labels and confidence `[X, Y, Z]` of this frame's voxels to the grid's; unknown outside."""
        if labels.device.type == "cpu":
            out = torch.empty_like(labels), torch.empty_like(confidence)
            flat = (values.view(-1).numpy() for values in (self.index, labels, confidence, *out))
            resample(*flat)
            return out
        index = self.index.to(labels.device).long()
        found = [values.flatten().index_select(0, index.clamp_min(0)) for values in (labels, confidence)]
        outside = index < 0
        return (
            found[0].masked_fill_(outside, UNKNOWN).view(labels.shape),
            found[1].masked_fill_(outside, 0).view(labels.shape),
        )


class LevelFrames:
    """The level frames of one calibration.

    Args:
        rig: cameras of the images that are matched.
        grid: the network's grid.
        image: height and width of the network's image, pixels.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid, image: tuple[int, int]) -> None:
        self._rig, self._grid, self._image = rig, grid, image
        k = rig.left.intrinsics
        columns, rows = np.meshgrid(*(np.arange(0, n, STRIDE) for n in (rig.left.width, rig.left.height)))
        rays = [(columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1], np.ones(columns.shape)]
        self._rays = np.stack(rays, -1)
        self._kept: OrderedDict[Steps, LevelFrame] = OrderedDict()

    def measure(
        self, evidence: StereoEvidence, disparity: npt.NDArray[np.int16]
    ) -> tuple[Measurement, LevelFrame | None]:
        """Compute the measurement of a disparity map, in the frame that follows the ground.

        Args:
            evidence: stereo evidence in the grid's own frame.
            disparity: as from `StereoEvidence.match`, `[H, W]`.

        Returns:
            the measurement, and its frame: None if the grid's own frame agrees with the ground, or no ground is found.
        """
        surface = evidence.surface(disparity)
        plane = evidence.ground.plane(surface.occupied)
        level = self.of(plane, disparity)
        if level is None:
            return evidence.measured(surface, plane), None
        surface = level.evidence.surface(disparity)
        return level.evidence.measured(surface, level.evidence.ground.plane(surface.occupied)), level

    def of(self, plane: npt.NDArray[np.float32], disparity: npt.NDArray[np.int16]) -> LevelFrame | None:
        """Return the frame that follows the ground, see `measure`; `plane` is that of the ground in the grid's frame,
        see `Ground`."""
        pitch, roll, height = slopes(plane, self._grid)
        is_level = -ROUGH_FALL <= pitch <= ROUGH_RISE and abs(roll) <= ROUGH_ROLL
        if is_level and -ROUGH_BELOW_M <= height <= ROUGH_ABOVE_M:
            return None
        found = self._measured(disparity)
        steps = None if found is None else deviation(*found)
        if steps is None:
            return None
        if steps not in self._kept:
            self._kept[steps] = self._frame(steps)
        self._kept.move_to_end(steps)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[steps]

    def _measured(self, matched: npt.NDArray[np.int16]) -> tuple[float, float, float] | None:
        """Return pitch and roll of the ground in the grid's frame, degrees, and its height above the standard, metres,
        from a disparity map."""
        disparity = matched[::STRIDE, ::STRIDE] / np.float64(STEPS)
        nearest = self._rig.baseline * float(self._rig.left.projection[0, 0]) / FAR
        valid = disparity > nearest
        depth = nearest * FAR / disparity[valid]
        pose = self._rig.left_from_grid
        found = ground_of_points(self._rays[valid] * depth[:, None], pose[:3, 2], STEEPEST)
        if found is None:
            return None
        normal = pose[:3, :3].T @ found[0]
        camera = -pose[:3, :3].T @ pose[:3, 3]
        height = float((normal @ camera - found[1]) / normal[2]) - standard_height(self._grid)
        pitch, roll = (math.degrees(math.atan(-slope / normal[2])) for slope in normal[:2])
        return pitch, roll, height

    def _frame(self, steps: Steps) -> LevelFrame:
        pose = grid_from_level(steps, self._grid)
        rig = replace(self._rig, reference_from_grid=self._rig.reference_from_grid @ pose)
        return LevelFrame(
            pose,
            StereoEvidence(rig, self._grid),
            BevTables.of_rig(rig, self._grid, self._image),
            torch.from_numpy(_index(np.asarray(np.linalg.inv(pose), np.float64), self._grid)),
        )


def slopes(plane: npt.NDArray[np.float32], grid: VoxelGrid) -> tuple[float, float, float]:
    """Return pitch and roll of a ground plane, see `Ground`, in the grid, degrees, and its height above the standard,
    metres.

    Pitch is positive if the road rises ahead, roll if it rises to the left. The height is measured at the origin of the
    grid's frame.
    """
    a, b, c = (float(value) for value in plane)
    x, y = (-origin / grid.resolution for origin in grid.origin[:2])
    height = (a * x + b * y + c - STANDARD_HEIGHT) * grid.resolution
    return math.degrees(math.atan(a)), math.degrees(math.atan(b)), height


def standard_height(grid: VoxelGrid) -> float:
    """Return the height of a level road in the frame of the network's grid, metres."""
    return grid.origin[2] + STANDARD_HEIGHT * grid.resolution


def deviation(pitch: float, roll: float, height: float) -> Steps | None:
    """Return the deviation of the ground from a level road at the standard height, in steps.

    Small deviations in one of the three are not followed: the network was trained with them, and they are within the
    measurement error; 0.1 m in height already moves a road to another layer.

    Args:
        pitch, roll, height: see `slopes`.

    Returns:
        None if all deviations are small, or one is too large.
    """
    if max(abs(pitch), abs(roll)) > LARGEST_DEGREES or abs(height) > LARGEST_M:
        return None
    steps = (
        round(pitch / STEP_DEGREES) if not -MIN_FALL <= pitch <= MIN_RISE else 0,
        round(roll / STEP_DEGREES) if abs(roll) > MIN_ROLL else 0,
        round(height / STEP_M) if not -MIN_BELOW_M <= height <= MIN_ABOVE_M else 0,
    )
    return steps if any(steps) else None


def grid_from_level(steps: Steps, grid: VoxelGrid) -> Matrix:
    """Return the pose of the level frame in the grid's frame, `[4, 4]`, metres.

    The frames share the heading and the ground point on the vertical axis of the grid's frame.
    """
    a, b = (math.tan(math.radians(count * STEP_DEGREES)) for count in steps[:2])
    standard = standard_height(grid)
    up = np.array([-a, -b, 1.0])
    up /= np.linalg.norm(up)
    ahead = np.array([1.0, 0.0, a])
    ahead -= (ahead @ up) * up
    ahead /= np.linalg.norm(ahead)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([ahead, np.cross(up, ahead), up], 1)
    pose[:3, 3] = np.array([0, 0, standard + steps[2] * STEP_M]) - pose[:3, 2] * standard
    return pose


def unknown_below_ground(
    labels: torch.Tensor, confidence: torch.Tensor, measured: Measurement
) -> tuple[torch.Tensor, torch.Tensor]:
    """Set the labels and confidence `[X, Y, Z]` of voxels below the ground, which cannot be observed, to unknown; may
    change its arguments."""
    margin = np.where(measured.ground_seen, np.float32(BELOW_SEEN), np.float32(BELOW_UNSEEN))
    last = np.floor(measured.ground - margin).astype(np.int32)
    if labels.device.type == "cpu":
        mark_unknown_below(last, labels.numpy(), confidence.numpy())
        return labels, confidence
    layers = torch.arange(1, labels.shape[2] + 1, device=labels.device)
    below = layers <= torch.from_numpy(last).to(labels.device)[..., None]
    return labels.masked_fill(below, UNKNOWN), confidence.masked_fill(below, 0)


def _index(level_from_grid: Matrix, grid: VoxelGrid) -> npt.NDArray[np.int32]:
    """See `LevelFrame.index`."""
    axes = [grid.axis_centers(axis).astype(np.float32) for axis in range(3)]
    matrix = level_from_grid.astype(np.float32)
    index, inside = np.zeros(grid.size, np.int32), np.ones(grid.size, bool)
    for row in range(3):
        place = (
            matrix[row, 0] * axes[0][:, None, None]
            + matrix[row, 1] * axes[1][None, :, None]
            + matrix[row, 2] * axes[2]
            + (matrix[row, 3] - np.float32(grid.origin[row]))
        )
        cell = np.floor(place / np.float32(grid.resolution)).astype(np.int32)
        inside &= (cell >= 0) & (cell < grid.size[row])
        index = index * grid.size[row] + cell
    return np.where(inside, index, np.int32(-1)).ravel()
