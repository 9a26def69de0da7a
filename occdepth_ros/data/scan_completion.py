"""Scenes completed from a few labelled scans, to learn from where the benchmark's voxels are missing.

The benchmark merges the scans of a whole drive. Ten scans know less: a LiDAR whose highest beam rises by 2 degrees
never saw the upper storey of the house that it passed, and a sight line over the last measured point is not free.
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
"""Elevation that the LiDAR surely reaches: its highest beam has 2 degrees, and the car pitches."""

SIGHT_STEP = 2.5
"""Metres between the places that sight lines start from; what a nearer one adds is not worth its half second."""

_TALL = [SEMANTIC_KITTI.id_of(name) for name in ("building", "vegetation", "trunk", "pole", "traffic-sign")]


@dataclass(frozen=True)
class CompletionRule:
    """How scans become a ground truth.

    Args:
        reach: scans within so many metres of the frame's own are merged.
        past: whether scans before the frame are merged, too.
        trails: whether things that moved are taken from all scans, as the benchmark does; else from the own one.
        sight: whose sight lines tell free from unknown: those of the frame's own place, so that hidden space is
            unknown except for what is occupied; or those of any scan, so that hidden free space is known too.
        raised: to this height above the LiDAR, metres, buildings, plants and poles hide what is behind them where
            no beam could see them; measured against the benchmark's shadows, which whole drives cast.
    """

    reach: float = 70.0
    past: bool = True
    trails: bool = False
    sight: Literal["own", "any"] = "own"
    shifted: float = 1.8


AROUND = CompletionRule()
"""Scans before and after the frame: without those before, the last frames of a short drive have one scan each."""

RECON10 = CompletionRule(past=False, trails=True)
"""The rule closest to the ground truth recon10, which merges ten scans from the frame on."""

ANY_SIGHT = CompletionRule(past=False, trails=True, sight="any")
"""As recon10, with hidden space that a later scan found to be free: without it, a network that fills all that is hidden
is never wrong."""

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
        others: the scans to merge with it; `rule.reach` and `rule.past` have chosen them.
        rule: what becomes of them.
        grid: where the voxels are.
        floor: nothing is in the lowest layer of voxels and all of it is known, as in the benchmark's files; false for
            grids that lie elsewhere, where the street may run through that layer.
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
    opaque = occupied | _shifted(raw, sensors, rule.shifted, grid)
    seen = visible_from(sensors[0], opaque, grid, surfaces=True)
    known = seen & ~opaque
    if rule.sight == "any":
        for sensor in _apart(sensors)[1:]:
            known |= visible_from(sensor, opaque, grid)
    target = SEMANTIC_KITTI.from_raw(raw)
    target[~(known | occupied)] = UNKNOWN
    if floor:
        target[..., 0] = EMPTY
    return CompletedScene(target, seen & (occupied | known))


def _apart(places: Sequence[npt.NDArray[np.float64]]) -> list[npt.NDArray[np.float64]]:
    """The first of the places, and of the others, nearest first, those that `SIGHT_STEP` parts from all before."""
    first = places[0]
    kept = [first]
    for place in sorted(places[1:], key=lambda p: float(np.linalg.norm(p - first))):
        if min(float(np.linalg.norm(place - k)) for k in kept) >= SIGHT_STEP:
            kept.append(place)
    return kept


def _shifted(raw: RawLabels, sensors: Sequence[npt.NDArray[np.float64]], height: float, grid: VoxelGrid) -> Mask:
    """What surely goes on above the highest beam of every sensor, `[X, Y, Z]`."""
    own = sensors[0]
    # the farther a sensor, the higher up a thing its beams reach
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
