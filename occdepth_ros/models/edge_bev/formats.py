"""Number formats in compiled loops: float32, and bfloat16 as bits, because numba does not support it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import types
from numba.extending import overload

FORMATS = (torch.float32, torch.bfloat16)
"""Number formats that compiled loops read and write."""


def array_of(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """View the memory of a CPU tensor as an array of its shape: float32, or the bits of bfloat16 as uint16."""
    tensor = tensor.detach()
    if tensor.dtype != torch.bfloat16:
        return np.asarray(tensor.numpy())
    return np.asarray(tensor.view(torch.int16).numpy()).view(np.uint16)  # torch before 2.3 has no uint16


def number(stored: Any) -> Any:
    """Return the float32 value of an element of such an array; for compiled functions only."""
    raise NotImplementedError


def stored(value: Any, like: Any) -> Any:
    """Return the bits of a float32 in an array with elements `like`, rounded to even; for compiled functions only."""
    raise NotImplementedError


@overload(number, inline="always")
def _number(stored: Any) -> Callable[[Any], Any]:
    # numba compares the parameters of both functions, annotations included
    def same(stored: Any) -> Any:
        return stored

    def widened(stored: Any) -> Any:
        return np.uint32(np.uint32(stored) << np.uint32(16)).view(np.float32)

    return same if isinstance(stored, types.Float) else widened


@overload(stored, inline="always")
def _stored(value: Any, like: Any) -> Callable[[Any, Any], Any]:
    def same(value: Any, like: Any) -> Any:
        return value

    def rounded(value: Any, like: Any) -> Any:
        whole = np.float32(value).view(np.uint32)
        return np.uint16((whole + np.uint32(0x7FFF) + ((whole >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    return same if isinstance(like, types.Float) else rounded
