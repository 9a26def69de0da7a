"""Reading of image files of recorded sequences; incomplete files are refused.

OpenCV decodes half of a file to an image with a grey lower half, so files are checked before they are decoded.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from occdepth_ros.errors import ImageError
from occdepth_ros.files import LFS_POINTER, LFS_REMEDY
from occdepth_ros.sources.jpeg import is_intact

SUFFIXES = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".tif", ".tiff")

ImageArray = npt.NDArray[np.uint8]
Size = tuple[int, int]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_OTHERS = (b"P5", b"P6", b"BM", b"II*\0", b"MM\0*")
"""First bytes of PGM, PPM, BMP and TIFF files."""
_MAX_SIDE = 1 << 14
_MAX_12_BITS = (1 << 12) - 1
_ORIENTATION = 0x0112
"""Tag of the orientation in EXIF; 1 = as stored."""
_COPY_AGAIN = "Copy or download the file again."


class LevelRange:
    """Range of the 16-bit samples of one pair of cameras.

    Cameras with 10 and 12 bits write unscaled samples into 16 bits. Samples are therefore scaled from 12 bits until one
    exceeds 4095; from then on all images of the pair have the full range. The images of a covered lens thus stay dark.
    """

    def __init__(self) -> None:
        self.is_full = False

    def to_8_bits(self, samples: npt.NDArray[np.integer]) -> ImageArray:
        """Scale samples of 8 or 16 bits to 0..255."""
        if samples.dtype == np.uint8:
            return np.asarray(samples, np.uint8)
        self.is_full = self.is_full or bool(samples.max(initial=0) > _MAX_12_BITS)
        return (samples >> (8 if self.is_full else 4)).astype(np.uint8)


def image_size(path: Path) -> Size:
    """Return width and height of an image file; the file is checked to be complete.

    Raises:
        ImageError: the file cannot be read, is not an image, is damaged or truncated, or a side exceeds 16384 pixels.
    """
    return _checked_size(_contents(path), str(path))


def header_size(path: Path) -> Size:
    """Return width and height as the header of an image file states them; only the header is read.

    Raises:
        ImageError: the file cannot be read, or has no header of an image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except UnidentifiedImageError:
        return image_size(path)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"the image cannot be read ({error})", where=str(path)) from error


def contents_size(contents: bytes) -> Size | None:
    """Return width and height as the header of an image file states them; None if there is no such header."""
    try:
        with Image.open(io.BytesIO(contents)) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def exif_orientation(path: Path) -> int:
    """Return the orientation that the EXIF data of a file state, 1 to 8; 1 without EXIF data."""
    try:
        with Image.open(path) as image:
            return int(image.getexif().get(_ORIENTATION, 1))
    except (OSError, ValueError, TypeError, SyntaxError):
        return 1


def read_image(path: Path, expected: Size, levels: LevelRange | None = None) -> tuple[ImageArray, bool]:
    """Read an image file.

    Args:
        path: a file with one of `SUFFIXES`.
        expected: width and height by the calibration, pixels.
        levels: range of 16-bit samples; None = the range of this image.

    Returns:
        the image as it is stored, `[H, W, 3]` RGB uint8, and whether the file is grey.

    Raises:
        ImageError: as for `image_size`, or the size is not the expected one.
    """
    contents = _contents(path)
    size = _checked_size(contents, str(path))
    if size != expected:
        raise ImageError(
            f"the image is {size[0]}x{size[1]}, calibration and first image have {expected[0]}x{expected[1]}",
            where=str(path),
            remedy="Use images of one size with the calibration that belongs to them.",
        )
    return _in_colour(_decoded(contents, str(path), size), levels)


def read_levels(path: Path, expected: Size) -> npt.NDArray[np.uint16]:
    """Read an image of one channel, such as depth or class ids, `[H, W]`; 8 or 16 bits a pixel.

    Args:
        path: a PNG file.
        expected: width and height, pixels.

    Raises:
        ImageError: as for `read_image`, or there are several channels.
    """
    contents = _contents(path)
    size = _checked_size(contents, str(path))
    if size != expected:
        raise ImageError(
            f"the image is {size[0]}x{size[1]}, not {expected[0]}x{expected[1]}",
            where=str(path),
            remedy="Use images of one size with the calibration that belongs to them.",
        )
    levels = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.ndim != 2 or levels.dtype not in (np.uint8, np.uint16):
        raise ImageError("the image does not have one channel of 8 or 16 bits", where=str(path), remedy=_COPY_AGAIN)
    return levels.astype(np.uint16)


def decode(contents: bytes, where: str, levels: LevelRange | None = None) -> tuple[ImageArray, bool]:
    """Decode the contents of an image file to `[H, W, 3]` RGB uint8; also return whether it is grey.

    An orientation in EXIF is ignored, because calibrations refer to the pixels as they are stored.

    Raises:
        ImageError: as for `image_size`.
    """
    return _in_colour(decode_levels(contents, where), levels)


def _in_colour(samples: npt.NDArray[np.integer], levels: LevelRange | None) -> tuple[ImageArray, bool]:
    """Convert samples as stored to `[H, W, 3]` RGB uint8; also return whether they are grey."""
    decoded = (levels or LevelRange()).to_8_bits(samples)
    grey = decoded.ndim == 2
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB if grey else cv2.COLOR_BGR2RGB), np.uint8), grey


def decode_levels(contents: bytes, where: str) -> npt.NDArray[np.integer]:
    """Decode the contents of an image file to its samples as stored, `[H, W]` or BGR `[H, W, 3]`, uint8 or uint16.

    Raises:
        ImageError: as for `image_size`, or the samples have another type.
    """
    return _decoded(contents, where, _checked_size(contents, where))


def _decoded(contents: bytes, where: str, size: Size) -> npt.NDArray[np.integer]:
    """Decode a checked file to its samples."""
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imdecode(np.frombuffer(contents, np.uint8), flags)
    if decoded is None or decoded.shape[1::-1] != size:
        raise ImageError("the image cannot be decoded", where=where, remedy=_COPY_AGAIN)
    if decoded.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"the samples are {decoded.dtype}, not 8 or 16 bits", where=where, remedy="Convert the file.")
    return np.asarray(decoded)


def list_images(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by stem, sorted; hidden files (such as `._` copies of macOS) are ignored.

    Raises:
        ImageError: two files share a stem.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise ImageError(
                f"{found[path.stem].name} and {path.name} are the same frame",
                where=str(folder),
                remedy="Keep one of them.",
            )
        found[path.stem] = path
    return found


def _contents(path: Path) -> bytes:
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise ImageError(f"the image cannot be read ({error.strerror})", where=str(path)) from error
    if not contents:
        raise ImageError("the image file is empty", where=str(path), remedy=_COPY_AGAIN)
    return contents


def _checked_size(contents: bytes, where: str) -> Size:
    if contents.startswith(_PNG):
        size = _png_size(contents)
    elif contents.startswith(_JPEG):
        size = _jpeg_size(contents) if is_intact(contents) else None
    elif contents.startswith(_OTHERS):
        size = _decoded_size(contents)
    else:
        _raise_no_image(contents, where)
    if size is None:
        raise ImageError("the image file is damaged or cut off", where=where, remedy=_COPY_AGAIN)
    if not all(0 < side <= _MAX_SIDE for side in size):
        raise ImageError(f"the image claims to be {size[0]}x{size[1]} pixels", where=where, remedy=_COPY_AGAIN)
    return size


def _raise_no_image(contents: bytes, where: str) -> NoReturn:
    if contents.startswith(LFS_POINTER):
        raise ImageError("the file is a Git LFS pointer, not an image", where=where, remedy=LFS_REMEDY)
    formats = "PNG, JPEG, PPM, PGM, BMP or TIFF"
    raise ImageError(f"the file is not {formats}", where=where, remedy="Convert it to PNG.")


def _decoded_size(contents: bytes) -> Size | None:
    """Return the size of a file that Pillow decodes completely; None if it is damaged."""
    try:
        with Image.open(io.BytesIO(contents)) as image:
            image.load()
            return image.size
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        return None


def _png_size(contents: bytes) -> Size | None:
    """Return the size in IHDR; None if a chunk is truncated or corrupt, or IEND is missing (ISO/IEC 15948, 5.3)."""
    size: Size | None = None
    at = len(_PNG)
    view = memoryview(contents)
    while at + 12 <= len(contents):
        (length,) = struct.unpack_from(">I", contents, at)
        end = at + 12 + length
        if end > len(contents):
            return None
        (checksum,) = struct.unpack_from(">I", contents, end - 4)
        if zlib.crc32(view[at + 4 : end - 4]) != checksum:
            return None
        kind = contents[at + 4 : at + 8]
        if kind == b"IHDR" and length >= 8:
            size = struct.unpack_from(">II", contents, at + 8)
        if kind == b"IEND":
            return size
        at = end
    return None


def _jpeg_size(contents: bytes) -> Size | None:
    """Return the size in the frame header; None if the end-of-image marker is missing (ITU-T T.81, B.1)."""
    size: Size | None = None
    at = len(_JPEG)
    while at + 4 <= len(contents):
        if contents[at] != 0xFF:
            return None
        marker = contents[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", contents, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 <= len(contents):
            height, width = struct.unpack_from(">HH", contents, at + 5)
            size = (width, height)
        at += 2 + length
        if marker == 0xDA:
            # entropy-coded data escapes 0xFF, so this pair of bytes can only be the marker
            return size if contents.find(b"\xff\xd9", at) >= 0 else None
    return None


def missing_names(names: Sequence[str], *, shown: int = 5) -> str:
    """Format names as one phrase, with the rest counted: "000003, 000004 and 7 more"."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
