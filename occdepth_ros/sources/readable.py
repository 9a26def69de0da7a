"""Reading of sequences with damaged images: frames with damaged images are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from occdepth_ros.errors import ImageError
from occdepth_ros.sources.base import StereoFrame, StereoSource
from occdepth_ros.sources.images import Size, image_size

DAMAGED = "damaged_image"
"""Name of the fault of a frame whose images cannot be read."""


def readable_frames(
    source: StereoSource, frames: Iterable[int], note: Callable[[int, ImageError], None]
) -> Iterator[tuple[int, StereoFrame]]:
    """Yield index and frame of the frames that can be read.

    Args:
        source: the sequence.
        frames: the frames, in order.
        note: called with the index of a frame that cannot be read, and the error.

    Raises:
        ImageError: none of the frames can be read; this is the error of the last one.
    """
    found = False
    last: ImageError | None = None
    for index in frames:
        try:
            frame = source[index]
        except ImageError as error:
            last = error
            note(index, error)
            continue
        found = True
        yield index, frame
    if last is not None and not found:
        raise last


def first_readable(source: StereoSource, frames: Sequence[int]) -> StereoFrame:
    """Return the first frame that can be read.

    Raises:
        ImageError: none of the frames can be read.
    """
    return next(readable_frames(source, frames, lambda index, error: None))[1]


def first_readable_pair(left: Sequence[Path], right: Sequence[Path]) -> tuple[Path, Path, Size]:
    """Return the files of the first pair whose two images can be read, and the size of the left one.

    Raises:
        ImageError: there is no such pair; this is the error of the first pair.
    """
    first: ImageError | None = None
    for pair in zip(left, right, strict=True):
        try:
            size, _ = (image_size(path) for path in pair)
        except ImageError as error:
            first = first or error
            continue
        return *pair, size
    assert first is not None, "sequences have at least one pair"
    raise first
