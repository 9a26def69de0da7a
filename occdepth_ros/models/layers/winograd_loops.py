"""Compiled Winograd convolution of some tiles; tiles and matrices as in `winograd`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from occdepth_ros.compiled import compiled
from occdepth_ros.models.layers.block_product import BLOCK, ROWS, multiply
from occdepth_ros.models.layers.vector_code import LANES, Vector, first_of

NEAR, FAR = 0.5**0.5, 2**0.5
"""Interpolation points: 0, +-NEAR, +-FAR and infinity. Their rounding error is a quarter of that of 1 and 2."""
NEAR2, FAR2 = 0.5, 2.0
"""Their squares."""

Floats = npt.NDArray[np.float32]


def from_pixels(x: list[Vector]) -> list[Vector]:
    """Return six values in the transformed domain of six successive pixels; see `winograd.matrices`, third matrix."""
    even, odd = x[4] - FAR2 * x[2], NEAR * (x[3] - FAR2 * x[1])
    even_far, odd_far = x[4] - NEAR2 * x[2], FAR * (x[3] - NEAR2 * x[1])
    ends = [NEAR2 * FAR2 * x[i] - (NEAR2 + FAR2) * x[i + 2] + x[i + 4] for i in (0, 1)]
    return [ends[0], even + odd, even - odd, even_far + odd_far, even_far - odd_far, ends[1]]


def to_pixels(x: list[Vector]) -> list[Vector]:
    """Return four successive pixels of six values in the transformed domain; see `winograd.matrices`, first matrix."""
    even, odd, even_far, odd_far = x[1] + x[2], x[1] - x[2], x[3] + x[4], x[3] - x[4]
    return [
        x[0] + even + even_far,
        NEAR * odd + FAR * odd_far,
        NEAR2 * even + FAR2 * even_far,
        NEAR * NEAR2 * odd + FAR * FAR2 * odd_far + x[5],
    ]


def _in_vectors(function: Callable[[list[Vector]], list[Vector]]) -> Any:
    """Return a function for compiled loops: it applies a function of six values to six runs of memory."""

    @intrinsic  # type: ignore[untyped-decorator]
    def apply(_: Any, source: Any, start: Any, step: Any, out: Any, out_start: Any, out_step: Any, count: Any) -> Any:
        """Read `count` floats from `start + i * step` on for each i, and write those of each output likewise."""

        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def runs(array: int, numbers: int) -> list[Any]:
                data = first_of(context, builder, signature, arguments, array)
                first, distance = arguments[array + 1], arguments[array + 2]
                return [
                    builder.gep(data, [builder.add(first, builder.mul(distance, ir.Constant(distance.type, i)))])
                    for i in range(numbers)
                ]

            lanes = ir.Constant(arguments[6].type, LANES)
            inputs, outputs = runs(0, 6), runs(3, 6)
            with cgutils.for_range(builder, builder.udiv(arguments[6], lanes)) as loop:
                at = builder.mul(loop.index, lanes)
                values = function([Vector.read(builder, builder.gep(run, [at])) for run in inputs])
                for run, value in zip(outputs, values, strict=False):
                    value.write(builder.gep(run, [at]))
            return context.get_dummy_value()

        number = types.intp
        return types.void(source, number, number, out, number, number, number), write

    return apply


_from_pixels, _to_pixels = _in_vectors(from_pixels), _in_vectors(to_pixels)


@compiled
def convolve(
    start: int,
    stop: int,
    x: Floats,
    shape: tuple[int, ...],
    weights: Floats,
    bias: Floats,
    added: bool,
    lowest: np.float32,
    out: Floats,
) -> None:
    """Write the pixels of the tiles from `start` to `stop`.

    Args:
        x: maps `[B, X, Y, C]`, flat.
        shape: X, Y, C and C'.
        weights: `[36, C' / BLOCK, C, BLOCK]`, flat.
        bias: `[C']`.
        added: whether the pixels are added to `out`.
        lowest: smallest value of the output.
        out: maps `[B, X, Y, C']`, flat.
    """
    _, _, before, after = shape
    count = stop - start
    transformed, products = np.empty(36 * count * before, np.float32), np.empty(36 * count * after, np.float32)
    _transform(start, stop, x, shape, transformed)
    for value in range(36):
        for block in range(0, after, BLOCK):
            at = (value * after + block) * before
            for row in range(value * count, (value + 1) * count, ROWS):
                multiply(transformed, row, (value + 1) * count - 1, before, weights, at, products, block, after)
    _finish(start, stop, products, shape, bias, added, lowest, out)


@compiled
def _transform(start: int, stop: int, x: Floats, shape: tuple[int, ...], out: Floats) -> None:
    """Write the transformed inputs `[36, stop - start, C]` of the tiles from `start` to `stop`."""
    height, width, channels, _ = shape
    across = (width + 3) // 4
    per_map = across * ((height + 3) // 4)
    line, run = 6 * channels, (stop - start) * channels
    patch, half = np.empty(6 * line, np.float32), np.empty(6 * line, np.float32)
    for tile in range(start, stop):
        row, column = tile % per_map // across * 4 - 1, tile % across * 4 - 1
        first = tile // per_map * height
        if row >= 0 and column >= 0 and row + 6 <= height and column + 6 <= width:
            _from_pixels(x, ((first + row) * width + column) * channels, width * channels, half, 0, line, line)
        else:
            patch[:] = 0
            begin, end = max(-column, 0), min(6, width - column)
            for i in range(max(-row, 0), min(6, height - row)):
                at = ((first + row + i) * width + column) * channels
                to = i * line
                for k in range(begin * channels, end * channels):
                    patch[to + k] = x[at + k]
            _from_pixels(patch, 0, line, half, 0, line, line)
        for i in range(6):
            _from_pixels(half, i * line, channels, out, i * 6 * run + (tile - start) * channels, run, channels)


@compiled
def _finish(
    start: int,
    stop: int,
    products: Floats,
    shape: tuple[int, ...],
    bias: Floats,
    added: bool,
    lowest: np.float32,
    out: Floats,
) -> None:
    """Write the pixels of the products `[36, stop - start, C']`."""
    height, width, _, channels = shape
    across = (width + 3) // 4
    per_map = across * ((height + 3) // 4)
    line, run = 6 * channels, (stop - start) * channels
    half, pixels = np.empty(4 * line, np.float32), np.empty(4 * channels, np.float32)
    for tile in range(start, stop):
        for i in range(6):
            at = i * run + (tile - start) * channels
            _to_pixels(products, at, 6 * run, half, i * channels, line, channels)
        row, column = tile % per_map // across * 4, tile % across * 4
        for i in range(min(4, height - row)):
            _to_pixels(half, i * line, channels, pixels, 0, channels, channels)
            to = ((tile // per_map * height + row + i) * width + column) * channels
            for j in range(min(4, width - column)):
                target = out[to + j * channels : to + (j + 1) * channels]
                values = pixels[j * channels : (j + 1) * channels]
                if added:
                    for k in range(channels):
                        target[k] = max(target[k] + values[k] + bias[k], lowest)
                else:
                    for k in range(channels):
                        target[k] = max(values[k] + bias[k], lowest)
