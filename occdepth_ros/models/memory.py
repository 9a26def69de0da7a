"""GPU memory that runs out, as an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from occdepth_ros.errors import ModelError


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
