"""Predictions for benchmarks, of the benchmark's grid size: synthetic, or from a labelled frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction, Visibility

Labels = npt.NDArray[np.uint8]


def street(seed: int = 0) -> OccupancyPrediction:
    """Return a synthetic prediction of a street: about 145,000 occupied voxels, all others free."""
    rng = np.random.default_rng(seed)
    grid = VoxelGrid.semantic_kitti()
    nx, ny, nz = grid.size
    name = SEMANTIC_KITTI.id_of
    labels = np.zeros(grid.size, np.uint8)
    height = 2 + 3 * _waves(rng, (nx, ny), 60)
    across = np.abs(np.arange(ny) - ny / 2 + 10 * _waves(rng, (nx, 1), 40))
    ground = np.select([across < 22, across < 34], [name("road"), name("sidewalk")], name("terrain"))
    layer = np.arange(nz)
    under = (layer <= height[:, :, None]) & (layer > height[:, :, None] - 1)
    labels[under] = np.broadcast_to(ground[:, :, None], grid.size)[under]
    bushes = (_waves(rng, (nx, ny), 6) > 0.97) & (across > 36)
    crown = height + 3 + 11 * _waves(rng, (nx, ny), 5)
    labels[bushes[:, :, None] & (layer > height[:, :, None]) & (layer < crown[:, :, None])] = name("vegetation")
    for _ in range(12):
        x, side = int(rng.integers(0, nx - 60)), int(rng.choice([-1, 1]))
        y, length, deep = (
            ny // 2 + side * int(rng.integers(50, 110)),
            int(rng.integers(30, 60)),
            int(rng.integers(15, 40)),
        )
        block = labels[x : x + length, max(0, y - deep // 2) : y + deep // 2, 2 : int(rng.integers(18, 30))]
        block[:] = EMPTY
        for wall in (block[:2], block[-2:], block[:, :2], block[:, -2:], block[:, :, -2:]):
            wall[:] = name("building")
    for _ in range(18):
        x, y = int(rng.integers(0, nx - 24)), ny // 2 + int(rng.choice([-1, 1])) * int(rng.integers(16, 22))
        z = int(height[x, y]) + 1
        labels[x : x + 21, y : y + 9, z : z + 7] = name("car")
    return _prediction(labels, rng, grid, "street")


def labelled(path: Path) -> OccupancyPrediction:
    """Return merged labelled scans (a `recon10` file) as a prediction: one third to two thirds are unknown."""
    with np.load(path) as data:
        labels = np.ascontiguousarray(data["target"])
    return _prediction(labels, np.random.default_rng(0), VoxelGrid.semantic_kitti(), path.stem)


def _waves(rng: np.random.Generator, shape: tuple[int, int], length: int) -> npt.NDArray[np.float32]:
    """Return smooth noise in 0..1 with a correlation length of about `length` voxels."""
    noise = cv2.resize(rng.random((2 + shape[0] // length, 2 + shape[1] // length), np.float32), shape[::-1])
    return np.asarray(noise, np.float32).reshape(shape)


def _prediction(labels: Labels, rng: np.random.Generator, grid: VoxelGrid, name: str) -> OccupancyPrediction:
    nx, ny, _ = grid.size
    x, y = np.arange(nx)[:, None] + 0.5, np.arange(ny)[None, :] + 0.5 - ny / 2
    outside = np.broadcast_to((np.abs(y) > 0.85 * x)[:, :, None], labels.shape)
    occupied = (labels != EMPTY) & (labels != UNKNOWN)
    blocked = np.cumsum(occupied, axis=0) > 3
    visibility = np.where(outside, Visibility.OUTSIDE, np.where(blocked, Visibility.HIDDEN, Visibility.SEEN))
    # confidence is high in open space and inside objects, low at their surfaces and far away
    edge = occupied ^ np.roll(occupied, 1, 0) | occupied ^ np.roll(occupied, 1, 1) | occupied ^ np.roll(occupied, 1, 2)
    sure = 0.97 - 0.35 * edge - 0.3 * (x / nx)[:, :, None] * _waves(rng, (nx, ny), 24)[:, :, None]
    confidence = np.where(labels == UNKNOWN, 0, 255 * sure).astype(np.uint8)
    return OccupancyPrediction(
        grid,
        labels,
        confidence,
        visibility.astype(np.uint8),
        np.full((370, 1220), 10, np.float32),
        stamp_ns=1_700_000_000_000_000_000,
        model=name,
    )
