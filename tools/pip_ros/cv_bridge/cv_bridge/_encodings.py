"""What the names in ``sensor_msgs/Image.encoding`` mean: element type, channels, colour model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

Image = np.ndarray[Any, np.dtype[Any]]
"""[H, W] or [H, W, C], any OpenCV element type."""


class CvBridgeError(TypeError):
    """A message or an image that cannot be converted as asked; the text says why."""


DEPTHS = {
    "8U": "uint8",
    "8S": "int8",
    "16U": "uint16",
    "16S": "int16",
    "32S": "int32",
    "32F": "float32",
    "64F": "float64",
}
"""OpenCV's names of element types and numpy's."""

_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([0-9]+))?")
_CHANNELS = {"gray": 1, "rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "uyvy": 2, "yuyv": 2}

_COLOR_NAMES: dict[str, tuple[str, str]] = {
    "mono8": ("gray", "8U"),
    "mono16": ("gray", "16U"),
    **{f"{model}{bits}": (model, f"{bits}U") for model in ("rgb", "bgr", "rgba", "bgra") for bits in (8, 16)},
    **{
        f"bayer_{order}{bits}": (f"bayer_{order}", f"{bits}U")
        for order in ("rggb", "bggr", "gbrg", "grbg")
        for bits in (8, 16)
    },
    "yuv422": ("uyvy", "8U"),
    "yuv422_yuy2": ("yuyv", "8U"),
}


@dataclass(frozen=True)
class Encoding:
    """One image encoding; ``color`` is None where the name gives a type only (such as 32FC1)."""

    name: str
    depth: str
    channels: int
    color: str | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return numpy's type of one element."""
        return np.dtype(DEPTHS[self.depth])

    @property
    def cv_type(self) -> int:
        """Return OpenCV's number of the type (its layout differs between OpenCV 4 and 5)."""
        return cv_type_of(self.depth, self.channels)


def parse_encoding(name: str) -> Encoding:
    """Return what ``name`` stands for; raises CvBridgeError for a name that nobody knows."""
    if name in _COLOR_NAMES:
        color, depth = _COLOR_NAMES[name]
        return Encoding(name, depth, _CHANNELS.get(color, 1), color)
    match = _GENERIC.fullmatch(name)
    if match is None or not 1 <= int(match[2] or 1) <= 512:
        raise CvBridgeError(f"Unrecognized image encoding [{name}]")
    return Encoding(name, match[1], int(match[2] or 1), None)


def cv_type_of(depth: str, channels: int) -> int:
    """Return OpenCV's number of the type with that element type ("8U", ...) and number of channels."""
    one, two = (int(getattr(cv2, f"CV_{depth}C{count}")) for count in (1, 2))
    return one + (two - one) * (channels - 1)


def getCvType(encoding: str) -> int:
    """Return OpenCV's number of the type of ``encoding``; raises CvBridgeError for an unknown name."""
    return parse_encoding(encoding).cv_type
