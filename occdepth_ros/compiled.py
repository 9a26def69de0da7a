"""Compilation of loops over voxels to machine code, by numba.

The first call of a function on a machine takes seconds; the machine code is then cached next to the source, or in the
user's cache folder if the source folder is read-only. The cache is invalidated only by changes of the file that
contains the function, so functions that a compiled function calls belong in the same file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return a function that is compiled at its first call and runs without Python's global lock.

    Indices are not checked against the bounds of arrays.
    """
    options: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
    try:
        compiled_function: Function = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no writable folder for its cache
        compiled_function = njit(**options)(function)
    return compiled_function
