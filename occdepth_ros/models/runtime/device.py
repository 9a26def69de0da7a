"""Selection of the device and the number format of a network."""

from __future__ import annotations

from typing import Literal

import torch

from occdepth_ros.errors import ModelError
from occdepth_ros.models.layers.cpu_formats import fastest_float

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def pick_device(text: str) -> torch.device:
    """Parse the device that a user named.

    Args:
        text: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: this machine has no such device.
    """
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
    except RuntimeError as error:
        raise ModelError(f"{text!r} is no device", where="device", remedy="Use auto, cpu, cuda, or cuda:N.") from error
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"{text!r} is not supported", where="device", remedy="Use auto, cpu, cuda, or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"there is no {text!r}: this machine has {torch.cuda.device_count()} CUDA devices",
            where="device",
            remedy="Use auto or cpu, or run `occdepth doctor`.",
        )
    return device


def pick_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the requested number format; for "auto", the fastest format of the device."""
    if precision != "auto":
        chosen: torch.dtype = getattr(torch, precision)
        return chosen
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return fastest_float()
