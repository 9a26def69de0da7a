"""Conversion of an image from one encoding to another."""

from __future__ import annotations

import cv2
import numpy as np

from cv_bridge._encodings import CvBridgeError, Encoding, Image, parse_encoding

# ROS names a Bayer pattern by the first two rows, OpenCV by the second row's second and third pixel.
_BAYER = {"bayer_rggb": "BayerBG", "bayer_bggr": "BayerRG", "bayer_gbrg": "BayerGR", "bayer_grbg": "BayerGB"}
_REFERENCE = ("gray", "rgb", "bgr", "rgba", "bgra")
_PACKED = {"uyvy": "YUV2{}_UYVY", "yuyv": "YUV2{}_YUY2"}


def cvtColor2(img: Image, encoding_in: str, encoding_out: str) -> Image:
    """Return ``img`` in the encoding ``encoding_out``, scaled between 8 and 16 bit where the two differ in that.

    Raises CvBridgeError where the names are unknown or there is no such conversion.
    """
    source, target = parse_encoding(encoding_in), parse_encoding(encoding_out)
    if source.name == target.name:
        return img
    code = _color_code(source, target)
    try:
        converted = img if code is None else cv2.cvtColor(img, code)
    except cv2.error as error:
        raise CvBridgeError(str(error)) from error
    return _to_depth(np.asarray(converted), source, target)


def _color_code(source: Encoding, target: Encoding) -> int | None:
    """Return OpenCV's number of the colour conversion, None where the channels stay as they are."""
    if source.color is None or target.color is None:
        if source.color is None and target.color is not None:
            raise CvBridgeError(
                f"[{source.name}] is not a color format. but [{target.name}] is. The conversion does not make sense"
            )
        if source.channels != target.channels and source.color is not None:
            raise CvBridgeError(
                f"[{source.name}] is a color format but [{target.name}] is not so they must have the same number of "
                "channels"
            )
        if source.channels != target.channels:
            raise CvBridgeError(f"[{source.name}] and [{target.name}] do not have the same number of channels")
        return None
    if source.color == target.color and source.color in _REFERENCE:
        return None
    name = _conversion_name(source.color, target.color)
    if name is None or not hasattr(cv2, f"COLOR_{name}"):
        raise CvBridgeError(f"Unsupported conversion from [{source.name}] to [{target.name}]")
    return int(getattr(cv2, f"COLOR_{name}"))


def _conversion_name(source: str, target: str) -> str | None:
    """Return how OpenCV names the conversion between two colour models, without its prefix."""
    if source in _BAYER and target in ("gray", "rgb", "bgr"):
        return f"{_BAYER[source]}2{target.upper()}"
    if source in _PACKED and target in _REFERENCE:
        return _PACKED[source].format(target.upper())
    if source in _REFERENCE and target in _REFERENCE:
        return f"{source.upper()}2{target.upper()}"
    return None


def _to_depth(img: Image, source: Encoding, target: Encoding) -> Image:
    """Return ``img`` in the target's element type; colour scales 8 and 16 bit to each other's full range."""
    if source.depth == target.depth:
        return img
    factor = 1.0
    if source.dtype.itemsize == 1 and target.dtype.itemsize == 2:
        factor = 65535.0 / 255.0
    elif source.dtype.itemsize == 2 and target.dtype.itemsize == 1:
        factor = 255.0 / 65535.0
    if target.dtype.kind == "f":
        return (img * factor).astype(target.dtype)
    limits = np.iinfo(target.dtype)
    return np.clip(np.rint(img * factor), limits.min, limits.max).astype(target.dtype)
