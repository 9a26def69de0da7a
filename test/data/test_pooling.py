"""Pooling compared with stored results of the published preprocessing, and with a count block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.errors import GridError


@pytest.mark.golden
def test_pooling_gives_the_published_labels(golden_dir: Path) -> None:
    with np.load(golden_dir / "occdepth_parts.npz") as stored:
        labels = stored["label_in"].astype(np.uint8)
        assert np.array_equal(downsample_labels(labels, 8), stored["label_ds8"])
        assert np.array_equal(downsample_labels(labels, 4), stored["label_ds4"])


def reference_block(block: np.ndarray) -> int:
    values = block.ravel().tolist()
    empty, unknown = values.count(0), values.count(255)
    occupied = [v for v in values if v not in (0, 255)]
    if empty + unknown > 0.95 * len(values):
        return 0 if empty > unknown else 255
    return min(set(occupied), key=lambda v: (-occupied.count(v), v))


@settings(max_examples=40, deadline=None)
@given(
    labels=arrays(np.uint8, (6, 3, 9), elements=st.sampled_from([0, 0, 1, 2, 19, 254, 255, 255])),
    background=st.sampled_from([None, 0, 255]),
)
def test_pooling_agrees_with_a_count_block_by_block(labels: np.ndarray, background: int | None) -> None:
    if background is not None:
        labels[1:, 1:] = background
    pooled = downsample_labels(labels, 3)
    assert pooled.shape == (2, 1, 3)
    for index in np.ndindex(2, 1, 3):
        block = labels[tuple(slice(3 * i, 3 * i + 3) for i in index)]
        assert pooled[index] == reference_block(block)


@pytest.mark.parametrize("label", [0, 7, 255])
def test_a_uniform_volume_stays_uniform(label: int) -> None:
    labels = np.full((8, 8, 8), label, np.uint8)
    assert (downsample_labels(labels, 8) == label).all()


def test_blocks_of_one_voxel_keep_the_labels() -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 3, 255], np.uint8), (4, 4, 4))
    assert np.array_equal(downsample_labels(labels, 1), labels)


@pytest.mark.parametrize(("shape", "factor"), [((8, 8, 6), 4), ((8, 8), 4), ((8, 8, 8), 0)])
def test_volumes_that_do_not_divide_are_refused(shape: tuple[int, ...], factor: int) -> None:
    with pytest.raises(GridError, match="does not divide"):
        downsample_labels(np.zeros(shape, np.uint8), factor)
