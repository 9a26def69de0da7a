"""Image encodings of sensor_msgs, decoded to RGB: one list for the node, bags and files.

The names are those of sensor_msgs/image_encodings.hpp and of OpenCV matrix types (8UC3 is BGR, as in cv_bridge).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import ImageError
from occdepth_ros.sources.images import ImageArray, LevelRange, contents_size, decode, decode_levels

_BAYER = {
    "rggb": cv2.COLOR_BayerRGGB2RGB,
    "bggr": cv2.COLOR_BayerBGGR2RGB,
    "gbrg": cv2.COLOR_BayerGBRG2RGB,
    "grbg": cv2.COLOR_BayerGRBG2RGB,
}
_SAME, _GREY = None, cv2.COLOR_GRAY2RGB


class EncodingError(ImageError):
    """An encoding that is not supported."""


@dataclass(frozen=True)
class Encoding:
    """Layout of the pixels of an encoding.

    Args:
        channels: samples per pixel in one row.
        width: bytes per sample.
        conversion: OpenCV's conversion of the 8-bit image to RGB; None = the image is RGB.
        planes: twice the number of buffer rows per image row (3 for NV12: luma and half the chroma).
    """

    channels: int
    width: int
    conversion: int | None
    planes: int = 2

    @property
    def is_grey(self) -> bool:
        """Whether the encoding has luminance only."""
        return self.conversion == _GREY


ENCODINGS: dict[str, Encoding] = {
    **{
        f"{name}{8 * width}": Encoding(channels, width, conversion)
        for width in (1, 2)
        for name, channels, conversion in (
            ("rgb", 3, _SAME),
            ("bgr", 3, cv2.COLOR_BGR2RGB),
            ("rgba", 4, cv2.COLOR_RGBA2RGB),
            ("bgra", 4, cv2.COLOR_BGRA2RGB),
            ("mono", 1, _GREY),
            *((f"bayer_{pattern}", 1, conversion) for pattern, conversion in _BAYER.items()),
        )
    },
    **{
        f"{8 * width}UC{channels}": Encoding(channels, width, conversion)
        for width in (1, 2)
        for channels, conversion in ((1, _GREY), (3, cv2.COLOR_BGR2RGB), (4, cv2.COLOR_BGRA2RGB))
    },
    **dict.fromkeys(("yuv422", "uyvy"), Encoding(2, 1, cv2.COLOR_YUV2RGB_UYVY)),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), Encoding(2, 1, cv2.COLOR_YUV2RGB_YUY2)),
    "nv12": Encoding(1, 1, cv2.COLOR_YUV2RGB_NV12, planes=3),
    "nv21": Encoding(1, 1, cv2.COLOR_YUV2RGB_NV21, planes=3),
    "nv24": Encoding(1, 1, cv2.COLOR_YUV2RGB_NV12, planes=6),
}
"""Every encoding that is decoded, by its name in sensor_msgs/Image."""


class ImageDecoder:
    """Decodes the messages of one pair of cameras; keeps the range of their 16-bit samples."""

    def __init__(self) -> None:
        self.levels = LevelRange()

    def __call__(self, message: Any, where: str) -> tuple[ImageArray, bool]:
        """Decode sensor_msgs/Image or sensor_msgs/CompressedImage, of ROS 1 or ROS 2.

        Args:
            message: the deserialised message.
            where: topic, for messages.

        Returns:
            `[H, W, 3]` RGB uint8, and whether the camera is grey.

        Raises:
            EncodingError: the encoding is not supported.
            ImageError: the sizes are inconsistent, or the data are damaged.
        """
        if not hasattr(message, "encoding"):
            return self.compressed(bytes(message.data), str(message.format), where)
        return self.raw(
            np.frombuffer(message.data, np.uint8),
            (int(message.width), int(message.height)),
            int(message.step),
            str(message.encoding),
            where,
            is_bigendian=bool(message.is_bigendian),
        )

    def raw(
        self,
        data: npt.NDArray[np.uint8],
        size: tuple[int, int],
        step: int,
        encoding: str,
        where: str,
        *,
        is_bigendian: bool = False,
    ) -> tuple[ImageArray, bool]:
        """Decode the fields of sensor_msgs/Image.

        Args:
            data: all bytes, `[N]`.
            size: width and height, pixels.
            step: bytes per row.
            encoding: name of the encoding.
            where: topic, for messages.
            is_bigendian: byte order of 16-bit samples.

        Returns:
            `[H, W, 3]` RGB uint8, and whether the camera is grey.

        Raises:
            EncodingError: the encoding is not supported.
            ImageError: width, height, step and the number of bytes are inconsistent.
        """
        layout = ENCODINGS.get(encoding.strip())
        if layout is None:
            raise unsupported(f"the encoding {encoding!r} is not supported", where)
        width, height = size
        row = width * layout.channels * layout.width
        rows = height * layout.planes // 2
        if layout.planes != 2 and data.size == row * rows:
            # image_encodings does not define the step of planar formats: drivers write 1, 1.5 or 2 bytes per pixel
            step = row
        if min(size) < 1 or step < row or data.size != step * rows:
            raise ImageError(
                f"an image of {width}x{height} pixels in {encoding!r} requires {rows} rows of at least {row} bytes; "
                f"it has {step} bytes per row and {data.size} bytes",
                where=where,
                remedy="The driver or the recording is faulty: correct height, step and encoding in the driver.",
            )
        pixels = np.ascontiguousarray(data.reshape(rows, step)[:, :row])
        if layout.width == 2:
            samples = pixels.view(">u2" if is_bigendian else "<u2")
            pixels = self.levels.to_8_bits(samples)
        if encoding == "nv24":
            rgb = _converted(_half_chroma(pixels, width, height), cv2.COLOR_YUV2RGB_NV12, encoding, where)
            return np.ascontiguousarray(rgb[:height, :width]), False
        pixels = pixels.reshape(-1, width) if layout.channels == 1 else pixels.reshape(height, width, layout.channels)
        if layout.conversion is None:
            return pixels, False
        return _converted(pixels, layout.conversion, encoding, where), layout.is_grey

    def compressed(self, contents: bytes, form: str, where: str) -> tuple[ImageArray, bool]:
        """Decode the fields of sensor_msgs/CompressedImage.

        Args:
            contents: the image file.
            form: the field `format`, such as "rgb8; jpeg compressed bgr8" or "bayer_rggb8; png compressed ".
            where: topic, for messages.

        Returns:
            `[H, W, 3]` RGB uint8, and whether the camera is grey.

        Raises:
            EncodingError: the format is not a still image.
            ImageError: the data are damaged or truncated.
        """
        encoding = form.partition(";")[0].strip()
        if "compressedDepth" in form or encoding.lower() in _VIDEO_FORMATS:
            raise unsupported(f"the format {form!r} is not supported", where)
        pattern = encoding.removeprefix("bayer_").rstrip("0123456789")
        if encoding.startswith("bayer_") and pattern in _BAYER:
            mosaic = decode_levels(contents, where)
            # publishers that demosaic before compression publish three channels
            if mosaic.ndim == 2:
                return _converted(self.levels.to_8_bits(mosaic), _BAYER[pattern], encoding, where), False
        return decode(contents, where, self.levels)


_VIDEO_FORMATS = ("h264", "h265", "hevc", "av1", "vp8", "vp9", "ffmpeg", "theora", "draco")


def size_of(message: Any) -> tuple[int, int] | None:
    """Return width and height of sensor_msgs/Image or CompressedImage by its header; None if it is not readable."""
    if hasattr(message, "encoding"):
        return int(message.width), int(message.height)
    return contents_size(bytes(message.data))


def unsupported(what: str, where: str) -> EncodingError:
    """Return the error for an unsupported encoding; the remedy lists the supported ones."""
    remedy = f"Publish one of {', '.join(ENCODINGS)}, or a CompressedImage with JPEG or PNG."
    if any(name in what for name in _VIDEO_FORMATS):
        remedy = (
            "Decode it with the republish node of image_transport (`in_transport` theora or ffmpeg, `out_transport` "
            "raw), or publish or record raw images or a CompressedImage with JPEG or PNG."
        )
    elif "compressedDepth" in what:
        remedy = "This is a depth image, not an image of a camera: choose other topics with --left and --right."
    return EncodingError(what, where=where, remedy=remedy)


def _converted(pixels: ImageArray, conversion: int, encoding: str, where: str) -> ImageArray:
    convert: Callable[..., Any] = cv2.cvtColor
    try:
        return np.asarray(convert(pixels, conversion), np.uint8)
    except cv2.error as error:
        height, width = pixels.shape[:2]
        raise ImageError(
            f"the encoding {encoding!r} is not defined for {width}x{height} samples",
            where=where,
            remedy="Chroma subsampling and Bayer patterns require an even width and height.",
        ) from error


def _half_chroma(pixels: ImageArray, width: int, height: int) -> ImageArray:
    """Average the chroma of NV24 `[3 H, W]` over 2x2 pixels to NV12 `[3 H / 2, W]`; odd sizes are padded to even."""
    padding = ((0, height % 2), (0, width % 2))
    luma = np.pad(pixels[:height], padding, mode="edge")
    even = np.pad(pixels[height:].reshape(height, width, 2), (*padding, (0, 0)), mode="edge").astype(np.uint16)
    height, width = luma.shape
    mean = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2] + 2) // 4
    return np.concatenate([luma, mean.astype(np.uint8).reshape(height // 2, -1)])
