"""Compilation of loops over voxels to machine code, by numba.

The first call of a function on a machine takes seconds; the machine code is then cached next to the source, or in the
user's cache folder if the source folder is read-only. The cache is invalidated only by changes of the file that
contains the function, so functions that a compiled function calls belong in the same file.

Without numba the modules can be imported, so that `occdepth doctor` can name what is missing; a call of a loop raises.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from occdepth_ros.errors import OccDepthError

try:
    from numba import njit
except ImportError:
    njit = None  # type: ignore[assignment]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return a function that is compiled at its first call and runs without Python's global lock.

    Indices are not checked against the bounds of arrays.
    """
    return _compiled(function)


def inlined(function: Function) -> Function:
    """Return a function that is compiled into those that call it, as if its loops stood there."""
    return _compiled(function, inline="always")


def _compiled(function: Function, **more: Any) -> Function:
    if njit is None:
        return cast(Function, _unavailable(function))
    options: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy", **more}
    try:
        compiled_function: Function = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no writable folder for its cache
        compiled_function = njit(**options)(function)
    return compiled_function


def _unavailable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that raises `OccDepthError` instead."""

    @wraps(function)
    def raises(*arguments: Any, **keywords: Any) -> Any:
        raise OccDepthError(
            "the Python package numba, which compiles the loops over voxels, is not installed",
            remedy="Install it: pip install numba (outside a virtual environment with --break-system-packages).",
        )

    return raises
