"""Small predictions for the tests of outputs, and strategies that make them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction

STAMP_NS = 1_234_567_890_987_654_321
LABELS = np.array([0, 255, 9, 1, 15], np.uint8)


def predict(labels: npt.NDArray[np.uint8], **fields: Any) -> OccupancyPrediction:
    """A prediction with the given labels; all voxels are seen with high confidence unless `fields` overrides it."""
    grid = fields.pop("grid", None) or VoxelGrid((0.4, -1.0, -2.2), labels.shape, 0.2, "lidar")
    fields.setdefault("confidence", np.where(labels == 255, 0, 200).astype(np.uint8))
    fields.setdefault("visibility", np.ones_like(labels))
    fields.setdefault("depth", np.array([[1.5, np.nan, 3.0]], np.float32))
    fields.setdefault("stamp_ns", STAMP_NS)
    fields.setdefault("model", "made-up")
    return OccupancyPrediction(grid, labels, **fields)


def surface_of(occupied: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The voxels with an unoccupied neighbour, by the definition; space outside the grid is unoccupied."""
    padded = np.pad(occupied, 1)
    inside = np.ones_like(occupied)
    for axis in range(3):
        for step in (-1, 1):
            inside &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return occupied & ~inside


def random_labels(rng: np.random.Generator, size: tuple[int, int, int], block: int = 1) -> npt.NDArray[np.uint8]:
    """Free, unknown and three classes, in blocks of equal voxels."""
    coarse = rng.choice(LABELS, size=[-(-n // block) for n in size])
    for axis in range(3):
        coarse = coarse.repeat(block, axis)
    return np.ascontiguousarray(coarse[: size[0], : size[1], : size[2]])


@st.composite
def predictions(draw: st.DrawFn) -> OccupancyPrediction:
    """Predictions of all sizes up to 18 voxels, anywhere on the lattice around 0, in single voxels or blocks."""
    size = draw(st.tuples(*[st.integers(1, 18)] * 3))
    corner = draw(st.tuples(*[st.integers(-20, 20)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = draw(st.sampled_from([1, 2, 4, 8, 18]))
    labels = random_labels(rng, size, block)
    levels = rng.integers(0, 256, size, dtype=np.uint8) if draw(st.booleans()) else np.full(size, 200, np.uint8)
    return predict(
        labels,
        grid=VoxelGrid((corner[0] * 0.2, corner[1] * 0.2, corner[2] * 0.2), size, 0.2),
        confidence=np.where(labels == 255, 0, levels).astype(np.uint8),
        visibility=rng.integers(0, 3, size, dtype=np.uint8),
    )
