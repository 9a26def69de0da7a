"""Vectors in the machine code of compiled loops, written by llvmlite.

LLVM vectorises a loop only if it can compare all of its pointers before; loops with many inputs and outputs, or with
sums in registers, are therefore written as vector instructions, in numba's intrinsics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

LANES = 8
"""Floats of a vector."""
_TYPE = ir.VectorType(ir.FloatType(), LANES)


class Vector:
    """Value of a vector; sums and products write instructions, which are fused where the CPU has both in one."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    @classmethod
    def read(cls, builder: Any, pointer: Any) -> Vector:
        """Return the floats from a pointer on."""
        return cls(builder, builder.load(builder.bitcast(pointer, _TYPE.as_pointer()), align=4))

    @classmethod
    def of_float(cls, builder: Any, value: Any) -> Vector:
        """Return a vector of equal floats."""
        empty = ir.Constant(_TYPE, ir.Undefined)
        single = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return cls(builder, builder.shuffle_vector(single, empty, places))

    def write(self, pointer: Any) -> None:
        """Write the floats from a pointer on."""
        self.builder.store(self.value, self.builder.bitcast(pointer, _TYPE.as_pointer()), align=4)

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fadd(self.value, other.value, flags=("contract",)))

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fsub(self.value, other.value, flags=("contract",)))

    def __mul__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fmul(self.value, other.value, flags=("contract",)))

    def __rmul__(self, factor: float) -> Vector:
        return Vector(self.builder, ir.Constant(_TYPE, [float(np.float32(factor))] * LANES)) * self


def zeros(builder: Any) -> Vector:
    """Return a vector of zeros."""
    return Vector(builder, ir.Constant(_TYPE, [0.0] * LANES))


def first_of(context: Any, builder: Any, signature: Any, arguments: Any, index: int) -> Any:
    """Return the pointer to the first element of an argument of an intrinsic, an array."""
    return context.make_array(signature.args[index])(context, builder, arguments[index]).data
