"""GPU memory that runs out, as an error that says what to do; CPU memory that need not be cleared twice."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from occdepth_ros.errors import ModelError

# parameters of glibc's mallopt (malloc.h): how many blocks may be mapped; how much free memory is kept
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


@contextmanager
def memory_guard(name: str, device: torch.device) -> Iterator[None]:
    """Turn an exhausted GPU into a ModelError and free what the attempt held.

    Args:
        name: of the model, for the text.
        device: where it runs.
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
    """Let the C library keep what large tensors free, for the next ones; for CPUs, with glibc only.

    Otherwise every tensor beyond 32 MiB is mapped anew, and the kernel clears its pages once more: a third of the
    time of a large network. The process holds on to its peak.
    """
    if device.type != "cpu":
        return
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def release_freed_memory() -> None:
    """Give what was freed back to the system, so that the resident memory is what is in use."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library, None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
