"""Number formats of the bird's-eye-view architecture."""

from __future__ import annotations

from typing import Literal

import torch

from occdepth_ros.errors import ModelError
from occdepth_ros.models.layers.cpu_formats import bytes_are_faster
from occdepth_ros.models.layers.quantized_conv import is_available
from occdepth_ros.models.runtime.device import Precision, pick_precision

BevPrecision = Precision | Literal["int8"]


def pick_bev_precision(precision: BevPrecision, device: torch.device) -> tuple[torch.dtype, bool]:
    """Return the number format of the convolutions, and whether the bird's-eye view is computed in 8-bit numbers.

    Args:
        precision: as in `EdgeBevPredictor`.
        device: device of the network.

    Raises:
        ModelError: the device does not multiply 8-bit numbers.
    """
    dtype = pick_precision("auto" if precision == "int8" else precision, device)
    if precision == "int8" and not (device.type == "cpu" and is_available()):
        raise ModelError(f"{device} does not multiply 8-bit numbers here", where="precision", remedy="Leave it out.")
    if precision == "auto" and device.type == "cpu":
        return dtype, bytes_are_faster()
    return dtype, precision == "int8"
