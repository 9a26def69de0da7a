"""Evidence of stereo matching for the lifted voxels in view, and for the columns of the grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import FINE, LIFT
from occdepth_ros.models.edge_bev.loops import evidence as loops
from occdepth_ros.models.edge_bev.tables import BevTables
from occdepth_ros.models.runtime.parallel import Workers
from occdepth_ros.stereo.ground.estimation import GroundFinder
from occdepth_ros.stereo.matching import STEPS, SemiGlobalMatcher
from occdepth_ros.stereo.surface import SurfaceBinning, SurfacePoints

Floats = npt.NDArray[np.float32]

CHANNELS = 2 * FINE + 9
"""Number of channels of `voxel_evidence`: distance to the surface and hits of the eight voxels; for the lifted voxel
the share of voxels with a match, the mean distance, the disparity residual, height above the ground on two scales,
visibility of the ground, and position in the camera frame (forward, right, down)."""
COLUMN_CHANNELS = 8
"""Channels of `column_evidence`."""
BEHIND = 2 * FINE + 1
"""Channel of the mean distance behind the matched surface, divided by `COARSE_REACH_M`."""
RIGHT = 2 * FINE + 7
"""Channel of the position to the right."""
DISTANCE = 6
"""Channel of `column_evidence` with the horizontal distance from the camera, divided by `POSITION_SCALE_M[0]`."""
NEAREST_M = 3.0
"""Smallest depth that is matched, metres; 112 disparities with KITTI's cameras. With 96 (3.1 m) a pair takes 4 ms less,
but `occdepth-edge` loses 0.1 points of SC IoU on ten places, and the finished map 0.4."""
FINE_REACH_M = 0.6
COARSE_REACH_M = 4.0
"""Distances to the surface at which the channels of the eight voxels and of the lifted voxel saturate, metres."""
FRONT_M, BEHIND_M, SURFACE_PX = 3.0, 4.0, 1.5
"""A lifted voxel is near a surface when it lies less than this in front of or behind it, metres, or when their
disparities differ by less than this, pixels."""
HIDDEN_HEIGHTS_M = (-0.6, 3.0)
"""Heights above the ground between which voxels behind a surface have evidence, metres: the network completes ground
and objects there."""
RESIDUAL_REACH_PX = 2.2
"""Disparity residual at which its channel saturates, pixels."""
STEP = np.float32(1 / STEPS)
ROWS = 16384
"""Number of lifted voxels per chunk of a thread."""
GROUND_REACH = (2.0, 10.0)
"""Heights above the ground at which its two channels saturate, voxel edges."""
STANDARD_HEIGHT = 2.35
"""Height of a level road in the grid of KITTI's cars, voxel edges above its lower face."""


@dataclass(frozen=True)
class Measurement:
    """Result of matching one pair.

    Args:
        disparity: disparity of the left image, `[H, W]` int16, 1/16 pixels; at most 0 without a match.
        voxel: flat indices of the voxels that contain matched points, `[K]`.
        hits: number of matched points in each of them, `[K]`.
        occupied: flat indices of the voxels with enough points to be occupied, ascending.
        ground: height of the ground in every column, `[X, Y]`, voxel edges above the grid's lower face.
        ground_seen: columns whose ground is visible in the image, `[X, Y]`.
        plane: plane of the ground, see `Ground`, `[3]`.
    """

    disparity: npt.NDArray[np.int16]
    voxel: npt.NDArray[np.intp]
    hits: npt.NDArray[np.int64]
    occupied: npt.NDArray[np.intp]
    ground: Floats
    ground_seen: npt.NDArray[np.bool_]
    plane: Floats

    @cached_property
    def lifted_ground(self) -> tuple[Floats, Floats]:
        """Return mean height of the ground and share of seen columns by lifted column, `[X/2, Y/2]` each."""
        x, y = self.ground.shape
        corners = [(slice(i, x, LIFT), slice(j, y, LIFT)) for i in range(LIFT) for j in range(LIFT)]
        height = sum(self.ground[corner] for corner in corners) / np.float32(len(corners))
        seen = sum(self.ground_seen[corner].astype(np.float32) for corner in corners) / np.float32(len(corners))
        return np.asarray(height, np.float32), np.asarray(seen, np.float32)


@dataclass(frozen=True)
class MatchedSurface:
    """Surface points of one pair by voxel.

    Args:
        points: the points.
        disparity, voxel, hits, occupied: see `Measurement`.
    """

    disparity: npt.NDArray[np.int16]
    points: SurfacePoints
    voxel: npt.NDArray[np.intp]
    hits: npt.NDArray[np.intp]
    occupied: npt.NDArray[np.intp]


class StereoEvidence:
    """Matcher, binning and ground finder of one calibration.

    Args:
        rig: cameras of the images that are matched.
        grid: voxels of the prediction.

    Raises:
        CalibrationError: the images are too small to be matched.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid) -> None:
        self.matcher = SemiGlobalMatcher(rig, nearest_m=NEAREST_M)
        self.binning = SurfaceBinning(rig, grid, self.matcher.focal_baseline)
        self.ground = GroundFinder(rig, grid, self.matcher.focal_baseline)

    def match(self, left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
        """Return the disparity map, `[H, W]`, 1/16 pixels, of one pair, `[H, W, 3]` RGB uint8 each, of the rig's
        size."""
        return self.binning.without_near_speckles(self.matcher.match(left, right))

    def as_trained(self, disparity: npt.NDArray[np.int16], error: float) -> npt.NDArray[np.int16]:
        """Return the disparity map with the error that the network was trained with.

        Args:
            disparity: as from `match`, `[H, W]`.
            error: see `BevConfig.inverse_depth_error`.
        """
        steps = round(error * self.matcher.focal_baseline * STEPS)
        if steps == 0:
            return disparity
        return np.where(disparity > 0, np.maximum(disparity - steps, 1), disparity).astype(np.int16, copy=False)

    def of_disparity(self, disparity: npt.NDArray[np.int16]) -> Measurement:
        """Compute the measurement of a disparity map in 1/16 pixels, `[H, W]`."""
        surface = self.surface(self.binning.without_near_speckles(disparity))
        return self.measured(surface, self.ground.plane(surface.occupied))

    def surface(self, disparity: npt.NDArray[np.int16]) -> MatchedSurface:
        """Compute the surface of a disparity map, `[H, W]`, as from `match`."""
        points = self.binning.points(disparity)
        voxel, hits = self.binning.hits(points)
        return MatchedSurface(disparity, points, voxel, hits, self.binning.occupied_of(voxel, hits))

    def measured(self, surface: MatchedSurface, plane: Floats) -> Measurement:
        """Compute the measurement of a surface; `plane` is that of the ground, see `Ground`, `[3]`."""
        ground = self.ground.above(plane, surface.points, surface.occupied, surface.disparity)
        return Measurement(
            surface.disparity, surface.voxel, surface.hits, surface.occupied, ground.height, ground.seen, ground.plane
        )


def lifted_states(measured: Measurement, tables: BevTables) -> torch.Tensor:
    """Return the `LiftedState` of the lifted voxels in view by the disparity at their centre, `[V]` uint8.

    Voxels that contain matched points are near a surface even if the pixel at their centre belongs to another surface,
    as are voxels behind a surface that are close to the height of the ground.
    """
    out = np.empty(len(tables.rows), np.uint8)
    reach = np.array((FRONT_M, BEHIND_M, SURFACE_PX), np.float32)
    aside = np.array(HIDDEN_HEIGHTS_M, np.float32)
    loops.write_states(
        measured.disparity.ravel(),
        STEP,
        tables.centre.numpy(),
        tables.centre_depth.numpy(),
        np.float32(tables.focal_baseline),
        tables.layer_centre.numpy(),
        tables.column.numpy(),
        measured.lifted_ground[0].ravel(),
        np.float32(tables.resolution),
        reach,
        aside,
        out,
    )
    loops.mark_hits(measured.voxel, tables.size, tables.row_of, out)
    return torch.from_numpy(out)


def voxel_evidence(
    measured: Measurement, tables: BevTables, chosen: torch.Tensor, workers: Workers | None = None
) -> torch.Tensor:
    """Compare lifted voxels with the surface in their pixels.

    Args:
        measured: result of matching.
        tables: tables of the calibration.
        chosen: indices among the V lifted voxels in view, ascending, `[R]` int64.
        workers: threads that compare parts of them; None = the calling thread.

    Returns:
        `[R, CHANNELS]` float32, within [-1, 1] except for positions; 0 where nothing was matched.
    """
    rows = chosen.numpy()
    disparity = np.append(measured.disparity.ravel(), np.int16(0))
    pixel, depth, position = tables.pixel.numpy(), tables.depth.numpy(), tables.position.numpy()
    focal_baseline = np.float32(tables.focal_baseline)
    reach = np.array((FINE_REACH_M, COARSE_REACH_M, RESIDUAL_REACH_PX), np.float32)
    layer_centre, column = tables.layer_centre.numpy(), tables.column.numpy()
    ground_reach = np.array(GROUND_REACH, np.float32)
    ground, seen = (values.ravel() for values in measured.lifted_ground)
    out = np.empty((len(rows), CHANNELS), np.float32)

    def part(of: slice) -> None:
        loops.compare(of.start, of.stop, rows, disparity, STEP, pixel, depth, focal_baseline, reach, out)
        loops.write_rest(of.start, of.stop, rows, layer_centre, column, ground, ground_reach, seen, position, out)

    (workers or Workers(0)).each(part, len(rows), ROWS)
    place = np.full(len(tables.rows), -1, np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    face = np.float32(tables.face)
    loops.write_hits(measured.voxel, measured.hits, tables.size, tables.row_of, place, depth, face, out)
    return torch.from_numpy(out)


def column_evidence(measured: Measurement, tables: BevTables) -> Floats:
    """Return the evidence of the lifted columns.

    Returns:
        `[X/2, Y/2, COLUMN_CHANNELS]`: ground height relative to a level road, its largest step to a neighbouring
        column, visibility of the ground, visibility of the column in the image, forward and right position, distance,
        and 1.
    """
    height, seen = measured.lifted_ground
    dx, dy = np.gradient(height)
    forward, right, distance = tables.lifted_foot
    channels = (
        np.clip((height - STANDARD_HEIGHT) / 4, -1, 1),
        np.clip(np.hypot(dx, dy) * 2, 0, 1),
        seen,
        tables.shown,
        forward,
        right,
        distance,
        np.float32(1),
    )
    out = np.empty((*height.shape, COLUMN_CHANNELS), np.float32)
    for channel, values in enumerate(channels):
        out[..., channel] = values
    return out
