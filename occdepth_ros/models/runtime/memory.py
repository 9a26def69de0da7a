"""Conversion of exhausted GPU memory to a user error; reuse of freed CPU memory between predictions."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from occdepth_ros.errors import ModelError

# parameters of glibc's mallopt (malloc.h): kept free memory, and size and number of mapped blocks
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_MMAP_MAX = -4

# their values after the first large blocks of a process that does not set them
DEFAULTS = {M_MMAP_MAX: 65536, M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 64 << 20}

_kept = False


@contextmanager
def memory_guard(name: str, device: torch.device) -> Iterator[None]:
    """Convert exhausted GPU memory to a ModelError and free the memory of the failed attempt.

    Args:
        name: the model's name, for the text.
        device: device of the model.

    Raises:
        ModelError: the GPU's memory is exhausted.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise ModelError(
            f"{name} does not fit in the memory of {device}",
            where="device",
            remedy="Free GPU memory, choose precision float16, a smaller model, or device cpu.",
        ) from error


def keep_freed_memory(device: torch.device) -> None:
    """Make the C library keep the memory of freed large tensors for later ones; for CPUs, with glibc only.

    By default every tensor above 32 MiB is mapped again, and clearing its pages takes a third of the time of a large
    network. The process then keeps its peak memory.
    """
    global _kept
    if device.type != "cpu":
        return
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        _kept = True


@contextmanager
def memory_by_default() -> Iterator[None]:
    """Return a context manager in which the C library manages memory as without `keep_freed_memory`."""
    mallopt = _of_glibc("mallopt")
    if not _kept or mallopt is None:
        yield
        return
    release_freed_memory()
    for parameter, value in DEFAULTS.items():
        mallopt(parameter, value)
    try:
        yield
    finally:
        keep_freed_memory(torch.device("cpu"))


def release_freed_memory() -> None:
    """Return freed memory to the system, so that the resident memory is the memory in use."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """Return a function of the C library, None if the library does not have it."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
