"""Which device a network runs on."""

from __future__ import annotations

import torch

from occdepth_ros.errors import ModelError


def pick_device(text: str) -> torch.device:
    """The device that a user named.

    Args:
        text: "auto" (a CUDA device where there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: there is no such device on this machine.
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
            remedy="Use auto or cpu, or look at `occdepth doctor`.",
        )
    return device
