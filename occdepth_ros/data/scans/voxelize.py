"""Completion labels from labelled LiDAR scans, as in the scene completion benchmark of SemanticKITTI.

Each frame has four grids: the labels of scans merged by pose (`.label`), the voxels of the scan of the frame (`.bin`),
the voxels that the merged scene hides from the LiDAR of the frame (`.occluded`), and the voxels that no scan observes
(`.invalid`).

The rules agree with the files of the benchmark: a voxel takes the most frequent raw id of its points, the smallest on
ties. Id 1 (outlier) counts as 0, and a voxel with the result 0 is empty. `.occluded` includes the occupied voxels, and
its hidden space is that of the merged scene, not of the single scan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

Mask = npt.NDArray[np.bool_]
RawLabels = npt.NDArray[np.uint16]

OUTLIER = 1
MOVING = range(252, 260)
"""Raw ids of moving objects."""


@dataclass(frozen=True)
class CompletionLabels:
    """The grids of one frame.

    Args:
        label: `[X, Y, Z]` uint16 raw ids, 0 = empty.
        scanned: `[X, Y, Z]` bool, voxels of the scan of the frame; the file `.bin`.
        occluded: `[X, Y, Z]` bool, voxels that are hidden from the LiDAR of the frame, and occupied voxels.
        invalid: `[X, Y, Z]` bool, voxels without points that are not visible from any scan.
    """

    label: RawLabels
    scanned: Mask
    occluded: Mask
    invalid: Mask

    def files(self) -> dict[str, bytes]:
        """Return the contents of the benchmark's files by suffix."""
        bits = {"bin": self.scanned, "occluded": self.occluded, "invalid": self.invalid}
        packed = {suffix: np.packbits(mask).tobytes() for suffix, mask in bits.items()}
        return {"label": self.label.astype("<u2").tobytes(), **packed}


@dataclass(frozen=True)
class PosedScan:
    """One scan and its pose relative to the labelled frame.

    Args:
        points: `[N, 3]` metres in the LiDAR frame of the scan.
        labels: `[N]` raw class ids.
        pose: `[4, 4]` pose of the scan's LiDAR frame in the LiDAR frame of the labelled frame, metres.
    """

    points: npt.NDArray[np.float64]
    labels: RawLabels
    pose: npt.NDArray[np.float64]


def completion_labels(
    reference: PosedScan, others: Iterable[PosedScan], grid: VoxelGrid = BENCHMARK_GRID
) -> CompletionLabels:
    """Compute the grids of one frame.

    Moving objects are taken only from the scan of the frame, so that they leave no trails.

    Args:
        reference: scan of the frame.
        others: scans to merge with it.
        grid: grid of the voxels, in the LiDAR frame of the frame.
    """
    reference_votes = Votes(grid)
    merged = Votes(grid)
    for votes in (reference_votes, merged):
        votes.add(reference)
    sensors = [reference.pose[:3, 3]]
    for scan in others:
        still = ~np.isin(scan.labels, MOVING)
        merged.add(PosedScan(scan.points[still], scan.labels[still], scan.pose))
        sensors.append(scan.pose[:3, 3])
    label = merged.majority()
    occupied = label != 0
    seen = visible_from(sensors[0], occupied, grid)
    occluded = ~seen
    for sensor in sensors[1:]:
        seen |= visible_from(sensor, occupied, grid)
    return CompletionLabels(label, reference_votes.majority() != 0, occluded, ~(seen | occupied))


class Votes:
    """Counts of the raw ids of points by voxel.

    Args:
        grid: grid of the voxels.
    """

    def __init__(self, grid: VoxelGrid) -> None:
        self.grid = grid
        self._keys: list[npt.NDArray[np.int64]] = []
        self._counts: list[npt.NDArray[np.int64]] = []

    def add(self, scan: PosedScan) -> None:
        """Count the points of a scan that lie in the grid."""
        index, inside = self.grid.index_of(scan.points @ scan.pose[:3, :3].T + scan.pose[:3, 3])
        raw = scan.labels[inside].astype(np.int64)
        raw[raw == OUTLIER] = 0
        x, y, z = index[inside].T
        voxel = (x * self.grid.size[1] + y) * self.grid.size[2] + z
        keys, counts = np.unique(voxel << 16 | raw, return_counts=True)
        self._keys.append(keys)
        self._counts.append(counts)

    def majority(self) -> RawLabels:
        """Return the most frequent raw id of each voxel, the smallest on ties, 0 without points, `[X, Y, Z]` uint16."""
        out = np.zeros(self.grid.count, np.uint16)
        if self._keys:
            keys, group = np.unique(np.concatenate(self._keys), return_inverse=True)
            total = np.zeros(len(keys), np.int64)
            np.add.at(total, group, np.concatenate(self._counts))
            voxel, raw = keys >> 16, keys & 0xFFFF
            # The last entry of a voxel is kept: the highest count, then the smallest id.
            order = np.lexsort((-raw, total, voxel))
            out[voxel[order]] = raw[order]
        return out.reshape(self.grid.size)


def visible_from(sensor: npt.NDArray[np.float64], occupied: Mask, grid: VoxelGrid, *, surfaces: bool = False) -> Mask:
    """Return the empty voxels that rays from the sensor reach before they hit an occupied voxel, `[X, Y, Z]` bool.

    One ray ends in every voxel of the hull of the grid. It is sampled once per voxel along its longest axis.

    Args:
        sensor: `[3]` position in the grid's frame, metres; it may be outside the grid.
        occupied: `[X, Y, Z]` bool.
        grid: grid of the voxels.
        surfaces: whether occupied voxels that rays hit are also marked.
    """
    size = np.array(grid.size)
    start = ((sensor - np.array(grid.origin)) / grid.resolution).astype(np.float32)
    direction = (_hull(grid.size) + np.float32(0.5)) - start
    length = np.ceil(np.abs(direction).max(axis=1)).clip(1)
    step = direction / length[:, None]
    order = np.argsort(-length, kind="stable")
    step, length = step[order], length[order]
    blocked_at = occupied.ravel()
    visible = np.zeros(grid.count, bool)
    for count in range(int(length.max()) + 1):
        reaching = int(np.searchsorted(-length, -count, side="right"))
        step, length = step[:reaching], length[:reaching]
        cell = np.floor(start + count * step).astype(np.int32)
        # floor distinguishes cells below 0 from cell 0. The end of a ray may be rounded to a cell outside the grid.
        inside = ((cell >= 0) & (cell < size)).all(axis=1)
        voxel = (cell[:, 0] * grid.size[1] + cell[:, 1]) * grid.size[2] + cell[:, 2]
        voxel[~inside] = 0
        hit = inside & blocked_at[voxel]
        visible[voxel[inside if surfaces else inside & ~hit]] = True
        if hit.any():
            step, length = step[~hit], length[~hit]
        if not len(step):
            break
    return visible.reshape(grid.size)


def _hull(size: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Return the indices of the voxels on the boundary of a grid, `[N, 3]` float32."""
    outside = np.ones(size, bool)
    outside[1:-1, 1:-1, 1:-1] = False
    return np.argwhere(outside).astype(np.float32)
