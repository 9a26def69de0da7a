"""Evidence of stereo matching for the lifted voxels in view, and for the columns of the grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import FINE, LIFT, LiftedState
from occdepth_ros.models.edge_bev.tables import POSITION_SCALE_M, BevTables
from occdepth_ros.models.parallel import Workers
from occdepth_ros.stereo.ground import GroundFinder
from occdepth_ros.stereo.matching import STEPS, SemiGlobalMatcher
from occdepth_ros.stereo.surface import SurfaceBinning

Floats = npt.NDArray[np.float32]

CHANNELS = 2 * FINE + 9
"""Channels of `voxel_evidence`: distance to the surface and hits of the eight voxels; then of the lifted voxel the
share of its voxels with a match, the mean distance, the disparity residual, height above the ground on two scales,
whether the ground was seen, and its position in the camera (forward, right, down)."""
COLUMN_CHANNELS = 8
"""Channels of `column_evidence`."""
BEHIND = 2 * FINE + 1
"""Channel of the mean distance behind the measured surface, over `COARSE_REACH_M`."""
RIGHT = 2 * FINE + 7
"""Channel of the position to the right."""
NEAREST_M = 3.0
"""Smallest depth that is matched, metres."""
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
ROWS = 16384
"""Lifted voxels that are compared at a time: their channels fit the cache."""
GROUND_REACH = (2.0, 10.0)
"""Heights above the ground at which its two channels saturate, voxel edges."""
STANDARD_HEIGHT = 2.35
"""Height of a level road in the grid of KITTI's cars, voxel edges above its lower face."""


@dataclass(frozen=True)
class Measurement:
    """Result of matching one pair.

    Args:
        disparity: of the left image, `[H, W]` int16, 1/16 pixels; at most 0 where there is none.
        voxel: flat indices of the voxels that hold matched pixels, `[K]`.
        hits: matched pixels in each of them, `[K]`.
        occupied: flat indices of those that hold enough of them to be occupied, ascending.
        ground: height of the ground in every column, `[X, Y]`, voxel edges above the grid's lower face.
        ground_seen: columns whose ground the image shows, `[X, Y]`.
        plane: plane of the ground, see `Ground`, `[3]`.
    """

    disparity: npt.NDArray[np.int16]
    voxel: npt.NDArray[np.intp]
    hits: npt.NDArray[np.int64]
    occupied: npt.NDArray[np.intp]
    ground: Floats
    ground_seen: npt.NDArray[np.bool_]
    plane: Floats


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

    def measure(self, left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> Measurement:
        """Match one pair, `[H, W, 3]` RGB uint8 each, of the rig's size."""
        return self.of_disparity(self.matcher.match(left, right))

    def depth(self, measured: Measurement) -> Floats:
        """Depth (z) of the left image's pixels, `[H, W]`, metres; NaN without a match."""
        return self.matcher.depth(measured.disparity)

    def of_disparity(self, disparity: npt.NDArray[np.int16]) -> Measurement:
        """The measurement of a disparity map in 1/16 pixels, `[H, W]`."""
        disparity = self.binning.without_splinters(disparity)
        points = self.binning.points(disparity)
        voxel, hits = self.binning.hits(points)
        occupied = self.binning.occupied_of(voxel, hits)
        ground = self.ground.find(points, occupied, disparity)
        return Measurement(disparity, voxel, hits, occupied, ground.height, ground.seen, ground.plane)


def lifted_states(measured: Measurement, tables: BevTables) -> torch.Tensor:
    """`LiftedState` of the lifted voxels in view by the disparity at their centre, `[V]` uint8.

    Voxels that hold matched pixels are near a surface even if the pixel at their centre shows another one, and so are
    voxels behind a surface that lie close to the height of the ground.
    """
    disparity = torch.from_numpy(measured.disparity).flatten().index_select(0, tables.centre).float().div_(STEPS)
    behind = tables.centre_depth - tables.focal_baseline / disparity
    residual = disparity - tables.focal_baseline / tables.centre_depth
    state = torch.full(disparity.shape, LiftedState.NEAR, dtype=torch.uint8)
    state[(behind < -FRONT_M) & (residual < -SURFACE_PX)] = LiftedState.FRONT
    height, _ = ground_of_lifted(measured)
    above = (tables.layer_centre - torch.from_numpy(height).flatten()[tables.column]) * tables.resolution
    aside = (above < HIDDEN_HEIGHTS_M[0]) | (above > HIDDEN_HEIGHTS_M[1])
    state[(behind > BEHIND_M) & (residual > SURFACE_PX) & aside] = LiftedState.BEHIND
    state[disparity <= 0] = LiftedState.UNMATCHED
    row = tables.row_of[folded_index(measured.voxel, tables.size) // FINE]
    state[torch.from_numpy(row[row >= 0])] = LiftedState.NEAR
    return state


def voxel_evidence(
    measured: Measurement, tables: BevTables, chosen: torch.Tensor, workers: Workers | None = None
) -> torch.Tensor:
    """Compare lifted voxels with the surface that their pixels show.

    Args:
        measured: result of matching.
        tables: of the calibration.
        chosen: which of the V lifted voxels in view, ascending, `[R]` int64.
        workers: threads that compare parts of them; None = the calling thread.

    Returns:
        `[R, CHANNELS]` float32, within [-1, 1] except for positions; 0 where nothing was matched.
    """
    disparity = np.append(measured.disparity.ravel(), np.int16(0)).clip(0).astype(np.float32) / np.float32(STEPS)
    out = torch.zeros(CHANNELS, len(chosen))
    rest = out[2 * FINE :]
    found = torch.from_numpy(disparity)

    def part(rows: slice) -> None:
        _compare(out[:, rows], found, chosen[rows], tables)

    (workers or Workers(0)).each(part, len(chosen), ROWS)
    column = tables.column.index_select(0, chosen)
    height, seen = (torch.from_numpy(values).flatten().index_select(0, column) for values in ground_of_lifted(measured))
    above = tables.layer_centre.index_select(0, chosen) - height
    torch.clamp(above / GROUND_REACH[0], -1, 1, out=rest[3])
    torch.clamp(above / GROUND_REACH[1], -1, 1, out=rest[4])
    rest[5] = seen
    rest[6:] = tables.position.index_select(0, chosen).T
    lifted, fine = np.divmod(folded_index(measured.voxel, tables.size), FINE)
    place = np.full(len(tables.rows) + 1, -1)
    place[chosen.numpy()] = np.arange(len(chosen))
    in_view = tables.row_of[lifted]
    at = place[in_view]
    here = at >= 0
    row, of_eight, source, hits = (torch.from_numpy(v[here]) for v in (at, fine, in_view, measured.hits))
    expected = 0.5 * tables.face / tables.depth[source, of_eight].square() + 1
    out[FINE + of_eight, row] = (hits.float() / expected).clamp_max_(1)
    return out.T


def _compare(out: torch.Tensor, found: torch.Tensor, chosen: torch.Tensor, tables: BevTables) -> None:
    """Write the channels that compare the eight voxels with the disparity in their pixels, `found`, in pixels.

    Masks are products of numbers, since operations on booleans take several times as long.
    """
    one = torch.ones(len(chosen))
    rest = out[2 * FINE :]
    for fine in range(FINE):
        pixel, depth, expected = (
            table[:, fine].index_select(0, chosen) for table in (tables.pixel, tables.depth, tables.expected)
        )
        disparity = found.index_select(0, pixel)
        is_matched = (disparity * STEPS).clamp_(max=1)
        behind = torch.addcdiv(depth, one, disparity, value=-tables.focal_baseline)  # -inf without a match
        torch.clamp(behind, -FINE_REACH_M, FINE_REACH_M, out=out[fine])
        out[fine].mul_(is_matched).mul_(1 / FINE_REACH_M)
        rest[0] += is_matched
        rest[1].addcmul_(behind.clamp_(-COARSE_REACH_M, COARSE_REACH_M), is_matched)
        rest[2].addcmul_(disparity.sub_(expected).clamp_(-RESIDUAL_REACH_PX, RESIDUAL_REACH_PX), is_matched)
    for channel, scale in zip(rest, (1.0, COARSE_REACH_M, RESIDUAL_REACH_PX), strict=False):
        channel.mul_(1 / (FINE * scale))


def column_evidence(measured: Measurement, tables: BevTables) -> Floats:
    """Evidence of the lifted columns.

    Returns:
        `[X/2, Y/2, COLUMN_CHANNELS]`: ground height against a level road, its largest step to a neighbouring column,
        whether it was seen, whether the image shows the column, forward and right position, distance, and 1.
    """
    height, seen = ground_of_lifted(measured)
    dx, dy = np.gradient(height)
    foot = tables.foot.reshape(3, height.shape[0], LIFT, height.shape[1], LIFT).mean((2, 4))
    channels = (
        np.clip((height - STANDARD_HEIGHT) / 4, -1, 1),
        np.clip(np.hypot(dx, dy) * 2, 0, 1),
        seen,
        tables.shown,
        foot[2] / POSITION_SCALE_M[0],
        foot[0] / POSITION_SCALE_M[1],
        np.hypot(foot[0], foot[2]) / POSITION_SCALE_M[0],
        np.ones_like(height),
    )
    return np.stack([np.asarray(c, np.float32) for c in channels], 2)


def ground_of_lifted(measured: Measurement) -> tuple[Floats, Floats]:
    """Mean height of the ground and share of seen columns by lifted column, `[X/2, Y/2]` each."""
    x, y = measured.ground.shape
    shape = (x // LIFT, LIFT, y // LIFT, LIFT)
    return measured.ground.reshape(shape).mean((1, 3)), measured.ground_seen.reshape(shape).mean((1, 3), np.float32)


def folded_index(voxel: npt.NDArray[np.intp], size: tuple[int, int, int]) -> npt.NDArray[np.intp]:
    """Flat index by (lifted voxel, one of its eight) of flat indices by voxel; `size` in lifted voxels."""
    x, y, z = np.unravel_index(voxel, tuple(LIFT * n for n in size))
    lifted = (x // LIFT * size[1] + y // LIFT) * size[2] + z // LIFT
    return np.asarray(lifted * FINE + (x % LIFT * LIFT + y % LIFT) * LIFT + z % LIFT)
