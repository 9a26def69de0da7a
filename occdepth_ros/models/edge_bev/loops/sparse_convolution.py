"""Compiled sparse convolution of the rows close to a surface, in float32: a third of their neighbours are missing and
are left out, and no rows are gathered."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from occdepth_ros.compiled import compiled
from occdepth_ros.models.layers.vector_code import LANES, Vector, first_of, zeros

WIDTH = 16
"""Channels of a row."""
_NEIGHBOURS = 27
_TOGETHER = 2
"""Rows that share the reads of the weights."""
_CHAINS = 2
"""Independent sums of each vector of a row: fewer wait for each other."""

Floats = npt.NDArray[np.float32]


def _sum_products_code(
    _: Any, x: Any, weights: Any, neighbours: Any, first: Any, second: Any, count: Any, out: Any
) -> Any:
    """Write the sums of two rows to `out`, `[2, WIDTH]`; arrays are flat, `count` is the number of rows."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, weight, places, sums = (first_of(context, builder, signature, arguments, at) for at in (0, 1, 2, 6))
        number = arguments[3].type

        def product(value: Any, factor: int) -> Any:
            return builder.mul(value, ir.Constant(number, factor))

        def at(pointer: Any, offset: Any) -> Any:
            return builder.gep(pointer, [ir.Constant(number, offset) if isinstance(offset, int) else offset])

        # registers after optimization
        variable: Any = partial(cgutils.alloca_once_value, builder, zeros(builder).value)
        held = [[[variable() for _ in range(_CHAINS)] for _ in range(0, WIDTH, LANES)] for _ in range(_TOGETHER)]
        with cgutils.for_range(builder, ir.Constant(number, _NEIGHBOURS)) as loop:
            read = [at(at(places, product(row, _NEIGHBOURS)), loop.index) for row in arguments[3:5]]
            found = [builder.sext(builder.load(place), number) for place in read]
            present = [builder.icmp_signed("<", row, arguments[5]) for row in found]
            with builder.if_then(builder.or_(*present)):
                matrix = at(weight, product(loop.index, WIDTH * WIDTH))
                inputs = [at(rows, product(row, WIDTH)) for row in found]
                for channel in range(WIDTH):
                    factors = [Vector.read(builder, at(matrix, channel * WIDTH + k)) for k in range(0, WIDTH, LANES)]
                    for row, vectors in zip(inputs, held, strict=True):
                        value = Vector.of_float(builder, builder.load(at(row, channel)))
                        for factor, chains in zip(factors, vectors, strict=True):
                            chain = chains[channel % _CHAINS]
                            builder.store((Vector(builder, builder.load(chain)) + value * factor).value, chain)
        for row, vectors in enumerate(held):
            for k, chains in enumerate(vectors):
                one, other = (Vector(builder, builder.load(chain)) for chain in chains)
                (one + other).write(at(sums, row * WIDTH + k * LANES))
        return context.get_dummy_value()

    return types.void(x, weights, neighbours, types.intp, types.intp, types.intp, out), write


_sum_products: Any = intrinsic(_sum_products_code)


@compiled
def convolve(
    start: int,
    stop: int,
    x: Floats,
    neighbours: npt.NDArray[np.int32],
    weights: Floats,
    bias: Floats,
    summand: Floats,
    added: bool,
    out: Floats,
) -> None:
    """Write ReLU(convolution + summand) of the rows from `start` to `stop`.

    Args:
        x: `[S + 1, WIDTH]`, the last row zero.
        neighbours: `[S, 27]`, flat, see `surface.neighbours_of`.
        weights: `[27, WIDTH, WIDTH]`, input channels before output channels, flat.
        bias: `[WIDTH]`.
        summand: `[S + 1, WIDTH]`.
        added: whether the summand is added.
        out: `[S + 1, WIDTH]`.
    """
    rows, count = x.reshape(-1), len(x) - 1
    sums = np.empty(_TOGETHER * WIDTH, np.float32)
    for s in range(start, stop, _TOGETHER):
        # the last row twice if their number is odd
        _sum_products(rows, weights, neighbours, s, min(s + 1, stop - 1), count, sums)
        for row in range(s, min(s + _TOGETHER, stop)):
            for channel in range(WIDTH):
                value = sums[(row - s) * WIDTH + channel] + bias[channel]
                if added:
                    value += summand[row, channel]
                out[row, channel] = max(value, np.float32(0))
