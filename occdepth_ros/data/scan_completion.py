"""Ground truth completed from a few labelled scans, for training without the benchmark's voxels.

The benchmark merges the scans of a whole drive. Ten scans contain less: the highest beam of the LiDAR has an elevation
of 2 degrees and misses the upper storeys of nearby houses, and a line of sight beyond the last point is not free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.voxelize import MOVING, Mask, PosedScan, RawLabels, Votes, visible_from
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

HIGHEST_BEAM = np.deg2rad(1.5)
"""Elevation that the LiDAR reaches in any case: its highest beam has 2 degrees, and the car pitches."""

VIEWPOINT_SPACING = 2.5
"""Least distance between viewpoints, metres; closer ones add little and cost 0.5 s each."""

_TALL = [SEMANTIC_KITTI.id_of(name) for name in ("building", "vegetation", "trunk", "pole", "traffic-sign")]


@dataclass(frozen=True)
class CompletionRule:
    """Rule by which scans are merged into ground truth.

    Args:
        reach: maximum distance of merged scans from the scan of the frame, metres.
        past: whether earlier scans are merged, too.
        trails: whether moving objects are taken from all scans, as in the benchmark, or only from that of the frame.
        sight: whose lines of sight label space as free: those from the position of the frame ("own"), so that hidden
            space is unknown unless occupied; or those of any scan ("any"), so that hidden free space is labelled, too.
        shifted: height above the LiDAR, metres, up to which buildings, plants and poles hide the space behind them
            above the highest beam; chosen by comparison with the benchmark, whose hidden space comes from whole drives.
    """

    reach: float = 70.0
    past: bool = True
    trails: bool = False
    sight: Literal["own", "any"] = "own"
    shifted: float = 1.8


AROUND = CompletionRule()
"""Scans before and after the frame: without earlier ones, the last frames of a short drive have one scan each."""

RECON10 = CompletionRule(past=False, trails=True)
"""The rule closest to the ground truth recon10, which merges ten scans from the frame on."""

ANY_SIGHT = CompletionRule(past=False, trails=True, sight="any")
"""As recon10, with hidden space labelled as free if a later scan saw it as free; without such labels, a network that
fills all hidden space is not penalized."""

RULES = {"around": AROUND, "recon10": RECON10, "any-sight": ANY_SIGHT}
"""Rules by name."""


@dataclass(frozen=True)
class CompletedScene:
    """The ground truth of one frame.

    Args:
        target: `[X, Y, Z]` uint8: 0 free, class ids, 255 unknown.
        seen: free voxels and surfaces that the frame's LiDAR could see, `[X, Y, Z]`.
    """

    target: npt.NDArray[np.uint8]
    seen: Mask


def complete_scans(
    own: PosedScan,
    others: Sequence[PosedScan],
    rule: CompletionRule,
    grid: VoxelGrid = BENCHMARK_GRID,
    *,
    floor: bool = True,
) -> CompletedScene:
    """Make the ground truth of one frame.

    Args:
        own: the frame's own scan, in the grid's frame.
        others: the scans to merge with it, selected by `rule.reach` and `rule.past`.
        rule: of merging.
        grid: of the voxels.
        floor: whether the lowest layer of voxels is free, as in the benchmark's files; false for moved grids, in which
            the road may pass through that layer.
    """
    votes = Votes(grid)
    votes.add(own)
    for scan in others:
        still = np.full(len(scan.labels), True) if rule.trails else ~np.isin(scan.labels, MOVING)
        votes.add(replace(scan, points=scan.points[still], labels=scan.labels[still]))
    raw = votes.winners()
    if floor:
        raw[..., 0] = 0
    sensors = [scan.pose[:3, 3] for scan in (own, *others)]
    occupied = raw != 0
    opaque = occupied | _continued_upwards(raw, sensors, rule.shifted, grid)
    seen = visible_from(sensors[0], opaque, grid, surfaces=True)
    known = seen & ~opaque
    if rule.sight == "any":
        for sensor in _spaced(sensors)[1:]:
            known |= visible_from(sensor, opaque, grid)
    target = SEMANTIC_KITTI.from_raw(raw)
    target[~(known | occupied)] = UNKNOWN
    if floor:
        target[..., 0] = EMPTY
    return CompletedScene(target, seen & (occupied | known))


def _spaced(places: Sequence[npt.NDArray[np.float64]]) -> list[npt.NDArray[np.float64]]:
    """The first position, and of the others, by distance, those at least `VIEWPOINT_SPACING` from all selected ones."""
    first = places[0]
    kept = [first]
    for place in sorted(places[1:], key=lambda p: float(np.linalg.norm(p - first))):
        if min(float(np.linalg.norm(place - k)) for k in kept) >= VIEWPOINT_SPACING:
            kept.append(place)
    return kept


def _continued_upwards(
    raw: RawLabels, sensors: Sequence[npt.NDArray[np.float64]], height: float, grid: VoxelGrid
) -> Mask:
    """Tall objects continued above the highest beam of every sensor, `[X, Y, Z]`."""
    own = sensors[0]
    # beams of a more distant sensor reach higher parts of an object
    far = max(sensors, key=lambda place: float(np.linalg.norm(place - own)))
    x, y, z = (grid.axis_centers(axis) for axis in range(3))
    out = np.isin(SEMANTIC_KITTI.from_raw(raw), _TALL)
    limits = [
        place[2] + np.tan(HIGHEST_BEAM) * np.hypot(x[:, None] - place[0], y[None, :] - place[1]) for place in (own, far)
    ]
    limit = np.maximum(*limits)
    for layer in range(1, grid.size[2]):
        if z[layer] <= own[2] + height:
            out[..., layer] |= out[..., layer - 1] & (z[layer] > limit)
    return out
