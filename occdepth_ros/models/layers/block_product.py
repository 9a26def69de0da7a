"""Product of a few rows with a block of a matrix, whose sums remain in registers; for compiled loops.

Small products of many matrices take 1.2 to 1.4 times longer in the library that torch calls.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from occdepth_ros.models.layers.vector_code import LANES, Vector, first_of, zeros

ROWS = 6
"""Rows of a product: with two vectors of columns, 8 reads serve 12 multiplications, and 12 sums fit the registers."""
BLOCK = 2 * LANES
"""Columns of a block."""
UNROLLED = 4
"""Divisor of the number of channels of a row."""


def _code(
    _: Any, x: Any, first: Any, last: Any, channels: Any, weights: Any, block: Any, out: Any, place: Any, step: Any
) -> Any:
    """Multiply `ROWS` rows that follow each other; those after the last one are equal to it.

    Args:
        x: rows `[N, channels]`, flat.
        first: index of the first row.
        last: index of the last row that exists.
        channels: number of channels.
        weights: array with the block, `[channels, BLOCK]`, flat.
        block: index of the block's first element.
        out: array of the products.
        place: index of the product of row 0.
        step: distance of the products of successive rows.
    """

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, first, last, channels, _, block, _, place, step = arguments
        constant: Any = partial(ir.Constant, first.type)
        x, weights, out = (first_of(context, builder, signature, arguments, index) for index in (0, 4, 6))

        def at(pointer: Any, index: Any) -> Any:
            return builder.gep(pointer, [index])

        rows = [builder.add(first, constant(row)) for row in range(ROWS)]
        rows = [builder.select(builder.icmp_signed("<", row, last), row, last) for row in rows]
        inputs = [at(x, builder.mul(row, channels)) for row in rows]
        outputs = [at(out, builder.add(place, builder.mul(row, step))) for row in rows]
        # registers after optimization
        variable: Any = partial(cgutils.alloca_once_value, builder, zeros(builder).value)
        sums = [[variable() for _ in range(0, BLOCK, LANES)] for _ in rows]
        with cgutils.for_range(builder, builder.udiv(channels, constant(UNROLLED))) as loop:
            for unrolled in range(UNROLLED):
                channel = builder.add(builder.mul(loop.index, constant(UNROLLED)), constant(unrolled))
                line = at(weights, builder.add(block, builder.mul(channel, constant(BLOCK))))
                factors = [Vector.read(builder, at(line, constant(k))) for k in range(0, BLOCK, LANES)]
                for row, held in zip(inputs, sums, strict=True):
                    value = Vector.of_float(builder, builder.load(at(row, channel)))
                    for factor, sum_ in zip(factors, held, strict=True):
                        builder.store((Vector(builder, builder.load(sum_)) + value * factor).value, sum_)
        for row, held in zip(outputs, sums, strict=True):
            for k, sum_ in enumerate(held):
                Vector(builder, builder.load(sum_)).write(at(row, constant(k * LANES)))
        return context.get_dummy_value()

    number = types.intp
    return types.void(x, number, number, number, weights, number, out, number, number), write


multiply: Any = intrinsic(_code)
