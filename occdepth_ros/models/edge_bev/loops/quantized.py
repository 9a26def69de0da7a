"""Compiled loops of the 8-bit U-Net."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.models.edge_bev.formats import number

Bytes = npt.NDArray[np.uint8]


@compiled
def quantize(start: int, stop: int, values: npt.NDArray[Any], factor: np.float32, out: Bytes) -> None:
    """Write values times a factor, rounded, to the rows from `start` to `stop` of `[X, Y, C]`; all are at least 0."""
    for x in range(start, stop):
        for y in range(values.shape[1]):
            for channel in range(values.shape[2]):
                value = number(values[x, y, channel]) * factor + np.float32(0.5)
                out[x, y, channel] = np.uint8(min(value, np.float32(255)))


@compiled
def add_skipped(
    start: int,
    stop: int,
    below: npt.NDArray[np.float32],
    skipped: Bytes,
    factor: np.float32,
    ratio: np.float32,
    zero: np.float32,
    out: Bytes,
) -> None:
    """Write the sum of a map in twice its resolution and a map of bytes.

    Args:
        start, stop: rows that are written.
        below: `[X/2, Y/2, C]`.
        skipped: `[X, Y, C]`.
        factor: steps of the output per unit of `below`.
        ratio: steps of the output per step of `skipped`.
        zero: stored zero of the output.
        out: `[X, Y, C]`.
    """
    for x in range(start, stop):
        for y in range(skipped.shape[1]):
            for channel in range(skipped.shape[2]):
                value = below[x // 2, y // 2, channel] * factor + skipped[x, y, channel] * ratio + zero
                value = max(value + np.float32(0.5), np.float32(0))
                out[x, y, channel] = np.uint8(min(value, np.float32(255)))
