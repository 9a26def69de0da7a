"""The converter that nodes use."""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from cv_bridge._color import cvtColor2
from cv_bridge._encodings import DEPTHS, CvBridgeError, Image, cv_type_of, parse_encoding

_DEPTH_OF_DTYPE = {dtype: depth for depth, dtype in DEPTHS.items()}
_DECODED = {1: "mono", 3: "bgr", 4: "bgra"}


class CvBridge:
    """Converts between ``sensor_msgs`` images and numpy arrays as OpenCV takes them."""

    def dtype_with_channels_to_cvtype2(self, dtype: Any, n_channels: int) -> str:
        """Return the encoding that names only the type, such as 8UC3."""
        return f"{_depth_of(np.dtype(dtype))}C{n_channels}"

    def cvtype2_to_dtype_with_channels(self, cvtype: int) -> tuple[str, int]:
        """Return numpy's name of the element type and the number of channels of OpenCV's type number."""
        for depth, dtype in DEPTHS.items():
            one, two = cv_type_of(depth, 1), cv_type_of(depth, 2)
            if cvtype >= one and (cvtype - one) % (two - one) == 0:
                return dtype, (cvtype - one) // (two - one) + 1
        raise CvBridgeError(f"{cvtype} is not one of OpenCV's types")

    def encoding_to_cvtype2(self, encoding: str) -> int:
        """Return OpenCV's type number of an image encoding; raises CvBridgeError for an unknown name."""
        return parse_encoding(encoding).cv_type

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """Return numpy's name of the element type and the number of channels of an image encoding."""
        parsed = parse_encoding(encoding)
        return parsed.dtype.name, parsed.channels

    def imgmsg_to_cv2(self, img_msg: ImageMessage, desired_encoding: str = "passthrough") -> Image:
        """Return the image of a message, [H, W] or [H, W, C], in native byte order.

        ``passthrough`` keeps the encoding, and then the array may share its memory with the message; any other name
        converts. Raises CvBridgeError where the encoding is unknown, the conversion does not exist, or the message's
        height, width and step do not fit its data.
        """
        encoding = parse_encoding(img_msg.encoding)
        dtype = encoding.dtype.newbyteorder(">" if img_msg.is_bigendian else "<")
        pixel = dtype.itemsize * encoding.channels
        height, width, step = img_msg.height, img_msg.width, img_msg.step
        if step < width * pixel:
            raise CvBridgeError(
                f"step of {step} bytes is too short for {width} pixels of {pixel} bytes ({encoding.name})"
            )
        data = np.frombuffer(bytes(img_msg.data) if isinstance(img_msg.data, list) else img_msg.data, np.uint8)
        if data.size < step * height:
            raise CvBridgeError(f"the message holds {data.size} bytes, its {height} rows of {step} bytes need more")
        shape = (height, width) if encoding.channels == 1 else (height, width, encoding.channels)
        strides = (step, pixel) if encoding.channels == 1 else (step, pixel, dtype.itemsize)
        image: Image = np.ndarray(shape, dtype, data, strides=strides) if 0 not in shape else np.empty(shape, dtype)
        native = np.ascontiguousarray(image, dtype.newbyteorder("="))
        return native if desired_encoding == "passthrough" else cvtColor2(native, encoding.name, desired_encoding)

    def compressed_imgmsg_to_cv2(self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough") -> Image:
        """Return the decoded image of a compressed message (as OpenCV decodes it: BGR, or as many channels as it has).

        Raises CvBridgeError where the data is no image that OpenCV reads or the conversion does not exist.
        """
        data = np.frombuffer(cmprs_img_msg.data, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if image is None:
            raise CvBridgeError(
                f"the {data.size} bytes of format [{cmprs_img_msg.format}] are no image that OpenCV reads"
            )
        if desired_encoding == "passthrough":
            return image
        channels = 1 if image.ndim == 2 else image.shape[2]
        return cvtColor2(image, f"{_DECODED[channels]}{8 * image.dtype.itemsize}", desired_encoding)

    def cv2_to_imgmsg(self, cvim: Image, encoding: str = "passthrough", header: Any = None) -> ImageMessage:
        """Return the message of an image; ``passthrough`` names the type only (such as 8UC3).

        Raises TypeError where ``cvim`` is no array and CvBridgeError where it does not have the encoding's type.
        """
        _check_array(cvim)
        depth = _depth_of(cvim.dtype)
        channels = 1 if cvim.ndim == 2 else cvim.shape[2]
        name = f"{depth}C{channels}"
        if encoding != "passthrough":
            if parse_encoding(encoding).cv_type != cv_type_of(depth, channels):
                raise CvBridgeError(f"encoding specified as {encoding}, but image has incompatible type {name}")
            name = encoding
        message = ImageMessage()
        if header is not None:
            message.header = header
        message.height, message.width = cvim.shape[:2]
        message.encoding = name
        order = cvim.dtype.byteorder
        message.is_bigendian = int(order == ">" or (order == "=" and sys.byteorder == "big"))
        message.step = cvim.shape[1] * channels * cvim.dtype.itemsize
        message.data.frombytes(cvim.tobytes())
        return message

    def cv2_to_compressed_imgmsg(self, cvim: Image, dst_format: str = "jpg") -> CompressedImage:
        """Return the compressed message of an image; ``dst_format`` is a file name ending that OpenCV writes.

        Raises TypeError where ``cvim`` is no array and CvBridgeError where OpenCV cannot write it in that format.
        """
        _check_array(cvim)
        try:
            done, data = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(f"OpenCV writes no [{dst_format}] of this image: {error}") from error
        if not done:
            raise CvBridgeError(f"OpenCV could not write this image as [{dst_format}]")
        message = CompressedImage(format=dst_format)
        message.data.frombytes(data.tobytes())
        return message


def _check_array(cvim: Any) -> None:
    if not isinstance(cvim, (np.ndarray, np.generic)):
        raise TypeError("Your input type is not a numpy array")
    if cvim.ndim not in (2, 3):
        raise CvBridgeError(f"an image has the shape [H, W] or [H, W, C], this array has {cvim.shape}")


def _depth_of(dtype: np.dtype[Any]) -> str:
    try:
        return _DEPTH_OF_DTYPE[dtype.newbyteorder("=").name]
    except KeyError:
        raise CvBridgeError(f"images of the type {dtype} have no encoding") from None
