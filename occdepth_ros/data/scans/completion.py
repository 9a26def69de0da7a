"""Ground truth merged from about ten labelled scans, for training without the benchmark's voxels.

The benchmark merges the scans of a whole drive. Ten scans cover less space: the highest beam of the LiDAR has an
elevation of 2 degrees and does not hit the upper storeys of nearby houses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.scans.voxelize import MOVING, Mask, PosedScan, RawLabels, Votes, visible_from
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

HIGHEST_BEAM = np.deg2rad(1.5)
"""Elevation, radians, up to which space is scanned. The highest beam has 2 degrees; the margin allows for pitch."""

VIEWPOINT_SPACING = 2.5
"""Default distance between viewpoints, metres. Closer viewpoints add little visible space and take 0.5 s each."""

_TALL = [SEMANTIC_KITTI.id_of(name) for name in ("building", "vegetation", "trunk", "pole", "traffic-sign")]


@dataclass(frozen=True)
class CompletionRule:
    """Rule by which scans are merged into ground truth.

    Args:
        reach: maximum distance of merged scans from the scan of the frame, metres.
        past: whether earlier scans are merged.
        moving_from_all: whether moving objects are taken from all scans, as in the benchmark, or only from the scan of
            the frame.
        viewpoints: scans whose lines of sight label space as free: "reference" = the scan of the frame, so that hidden
            space is unknown unless occupied; "all" = all scans, so that hidden free space is labelled.
        shifted: height above the LiDAR, metres, up to which buildings, plants and poles hide the space behind them
            above the highest beam; chosen by comparison with the benchmark, whose hidden space comes from whole drives.
        ground_gaps: whether free voxels at the height of the surrounding ground are unknown in columns whose ground no
            scan hit. Lines of sight between two rings of a scan pass through the ground there.
        spacing: minimum distance between the viewpoints of lines of sight, metres.
    """

    reach: float = 70.0
    past: bool = True
    moving_from_all: bool = False
    viewpoints: Literal["reference", "all"] = "reference"
    shifted: float = 1.8
    ground_gaps: bool = False
    spacing: float = VIEWPOINT_SPACING


AROUND = CompletionRule()
"""Rule that merges scans before and after the frame, so that the last frames of a drive have several scans."""

RECON10 = CompletionRule(past=False, moving_from_all=True)
"""Rule most similar to the ground truth recon10, which merges ten scans starting at the frame."""

ANY_SIGHT = CompletionRule(past=False, moving_from_all=True, viewpoints="all")
"""Rule as `RECON10` that also labels hidden space as free if a later scan observed it as free. Without such labels, the
loss does not penalize predictions that fill all hidden space."""

ALL_SCANS = CompletionRule(viewpoints="all", ground_gaps=True, spacing=5.0)
"""Densest rule: all scans of the drive within 70 m, earlier and later; moving objects (by label) from the scan of the
frame only; free space along the lines of sight of all scans."""

RULES = {"around": AROUND, "recon10": RECON10, "any-sight": ANY_SIGHT, "all-scans": ALL_SCANS}
"""Rules by name."""

_GROUND = [SEMANTIC_KITTI.id_of(name) for name in ("road", "parking", "sidewalk", "other-ground", "terrain")]
GROUND_SIGMA = 4.0
"""Standard deviation of the Gaussian mean by which the ground's height is interpolated, voxels."""
MIN_GROUND_WEIGHT = 0.02
"""Weight of ground hits below which the height of the ground is not interpolated."""


@dataclass(frozen=True)
class CompletedScene:
    """Ground truth of one frame.

    Args:
        target: `[X, Y, Z]` uint8: 0 free, class ids, 255 unknown.
        seen: `[X, Y, Z]` bool, free voxels and surfaces that are visible from the LiDAR of the frame.
    """

    target: npt.NDArray[np.uint8]
    seen: Mask


def complete_scans(
    reference: PosedScan,
    others: Sequence[PosedScan],
    rule: CompletionRule,
    grid: VoxelGrid = BENCHMARK_GRID,
    *,
    floor: bool = True,
) -> CompletedScene:
    """Compute the ground truth of one frame.

    Args:
        reference: scan of the frame, with its pose in the grid's frame.
        others: scans to merge with it, already selected by `rule.reach` and `rule.past`.
        rule: rule of merging.
        grid: grid of the voxels.
        floor: whether the lowest layer of voxels is free, as in the benchmark's files; False for moved grids, in which
            the road may be in that layer.
    """
    votes = Votes(grid)
    votes.add(reference)
    for scan in others:
        still = np.full(len(scan.labels), True) if rule.moving_from_all else ~np.isin(scan.labels, MOVING)
        votes.add(replace(scan, points=scan.points[still], labels=scan.labels[still]))
    raw = votes.majority()
    if floor:
        raw[..., 0] = 0
    sensors = [scan.pose[:3, 3] for scan in (reference, *others)]
    occupied = raw != 0
    opaque = occupied | _continued_upwards(raw, sensors, rule.shifted, grid)
    seen = visible_from(sensors[0], opaque, grid, surfaces=True)
    free = seen & ~opaque
    if rule.viewpoints == "all":
        for sensor in _spaced(sensors, rule.spacing)[1:]:
            free |= visible_from(sensor, opaque, grid)
    target = SEMANTIC_KITTI.from_raw(raw)
    target[~(free | occupied)] = UNKNOWN
    if rule.ground_gaps:
        target[_unreached_ground(target)] = UNKNOWN
    if floor:
        target[..., 0] = EMPTY
    return CompletedScene(target, seen & (occupied | free))


def _unreached_ground(target: npt.NDArray[np.uint8]) -> Mask:
    """Return the free voxels within one voxel of the interpolated ground in columns without a ground voxel.

    Columns far from all ground voxels are left out, `[X, Y, Z]` bool.
    """
    ground = np.isin(target, _GROUND)
    layer = np.arange(target.shape[2], dtype=np.float32)
    hit = np.asarray(ground.any(2), np.float32)
    height = (np.matmul(ground, layer) / np.maximum(ground.sum(2), 1)).astype(np.float32)
    lifted = np.where(hit > 0, height, 0).astype(np.float32)
    weight, total = (cv2.GaussianBlur(values, (0, 0), GROUND_SIGMA) for values in (hit, lifted))
    smooth = total / np.maximum(weight, 1e-6)
    near = np.abs(layer - smooth[..., None]) <= 1.0
    gap: Mask = near & ((hit == 0) & (weight > MIN_GROUND_WEIGHT))[..., None] & (target == EMPTY)
    return gap


def _spaced(
    places: Sequence[npt.NDArray[np.float64]], spacing: float = VIEWPOINT_SPACING
) -> list[npt.NDArray[np.float64]]:
    """Select positions greedily by distance from the first, each at least `spacing` metres from all selected."""
    first = places[0]
    kept = [first]
    for place in sorted(places[1:], key=lambda p: float(np.linalg.norm(p - first))):
        if min(float(np.linalg.norm(place - k)) for k in kept) >= spacing:
            kept.append(place)
    return kept


def _continued_upwards(
    raw: RawLabels, sensors: Sequence[npt.NDArray[np.float64]], height: float, grid: VoxelGrid
) -> Mask:
    """Return the voxels of tall objects, extended upwards above the highest beam of the sensors, `[X, Y, Z]` bool."""
    first = sensors[0]
    # Beams of a more distant sensor hit higher parts of an object.
    far = max(sensors, key=lambda sensor: float(np.linalg.norm(sensor - first)))
    x, y, z = (grid.axis_centers(axis) for axis in range(3))
    out = np.isin(SEMANTIC_KITTI.from_raw(raw), _TALL)
    limits = [
        sensor[2] + np.tan(HIGHEST_BEAM) * np.hypot(x[:, None] - sensor[0], y[None, :] - sensor[1])
        for sensor in (first, far)
    ]
    limit = np.maximum(*limits)
    for layer in range(1, grid.size[2]):
        if z[layer] <= first[2] + height:
            out[..., layer] |= out[..., layer - 1] & (z[layer] > limit)
    return out
