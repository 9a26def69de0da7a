"""Image files of recorded sequences: read whole, or refused.

A decoder given half a file returns an image whose lower half is grey, so files are checked before they are decoded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import ImageError

SUFFIXES = (".png", ".jpg", ".jpeg")

ImageArray = npt.NDArray[np.uint8]
Size = tuple[int, int]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_MAX_SIDE = 1 << 14
_COPY_AGAIN = "Copy or download the file again."


def image_size(path: Path) -> Size:
    """Width and height of an image file, from its header; the file is checked to be complete.

    Raises:
        ImageError: the file cannot be read, is no PNG or JPEG, is damaged or cut off, or is absurdly large.
    """
    return _checked_size(_contents(path), str(path))


def read_image(path: Path, expected: Size) -> tuple[ImageArray, bool]:
    """Read a PNG or JPEG file.

    Args:
        path: the file.
        expected: width and height by the calibration, pixels.

    Returns:
        the image, `[H, W, 3]` RGB uint8, and whether the file is grey.

    Raises:
        ImageError: as for `image_size`, or the size is not the expected one.
    """
    contents = _contents(path)
    size = _checked_size(contents, str(path))
    if size != expected:
        raise ImageError(
            f"the image is {size[0]}x{size[1]}, calibration and first image say {expected[0]}x{expected[1]}",
            where=str(path),
            remedy="Use images of one size with the calibration that belongs to them.",
        )
    return decode(contents, str(path))


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
        raise ImageError("the image has not one channel of 8 or 16 bits", where=str(path), remedy=_COPY_AGAIN)
    return levels.astype(np.uint16)


def decode(contents: bytes, where: str) -> tuple[ImageArray, bool]:
    """Decode the contents of a PNG or JPEG file to `[H, W, 3]` RGB uint8; also whether it is grey.

    Raises:
        ImageError: as for `image_size`.
    """
    width, height = _checked_size(contents, where)
    decoded = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_ANYCOLOR)
    if decoded is None or decoded.shape[:2] != (height, width):
        raise ImageError("the image cannot be decoded", where=where, remedy=_COPY_AGAIN)
    grey = decoded.ndim == 2
    code = cv2.COLOR_GRAY2RGB if grey else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(decoded, code), np.uint8), grey


def list_images(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem, sorted; hidden files (such as a Mac's `._` copies) do not count.

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
        size = _jpeg_size(contents)
    else:
        raise ImageError("the file is neither PNG nor JPEG", where=where, remedy="Convert it to PNG or JPEG.")
    if size is None:
        raise ImageError("the image file is damaged or cut off", where=where, remedy=_COPY_AGAIN)
    if not all(0 < side <= _MAX_SIDE for side in size):
        raise ImageError(f"the image claims to be {size[0]}x{size[1]} pixels", where=where, remedy=_COPY_AGAIN)
    return size


def _png_size(contents: bytes) -> Size | None:
    """Size by IHDR, or None where a chunk is cut, its checksum is wrong, or IEND is missing (ISO/IEC 15948, 5.3)."""
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
    """Size by the frame header, or None where the end-of-image marker after the scan is missing (ITU-T T.81, B.1)."""
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
    """The names as one phrase, the rest counted: "000003, 000004 and 7 more"."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
