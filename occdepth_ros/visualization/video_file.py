"""Video files: encoded by OpenCV if its build supports the codec, otherwise an animated GIF; WebP by Pillow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
from PIL import Image

from occdepth_ros.errors import OutputError
from occdepth_ros.files import check_file_path, whole_file
from occdepth_ros.visualization.canvas import ImageArray

CODECS = {".mp4": "mp4v", ".webm": "VP90", ".avi": "MJPG"}
"""Codec by suffix; OpenCV's pip packages can write these."""
FALLBACK = ".gif"
WEBP, WEBP_QUALITY = ".webp", 60
SUFFIXES = (*CODECS, WEBP, FALLBACK)


def check_video_name(path: Path) -> None:
    """Check that a video can be written to a path.

    Raises:
        OutputError: the suffix is not in `SUFFIXES`, or the path is a folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path.suffix or 'a name without suffix'} is not a supported video format",
            where=str(path),
            remedy=f"Give a name that ends in {', '.join(SUFFIXES)}.",
        )
    check_file_path(path)


def write_video(path: Path, frames: Iterable[ImageArray], fps: float, notify: Callable[[str], None] = print) -> Path:
    """Write a video, complete or not at all; frames are consumed one by one and not kept.

    Args:
        path: the suffix selects the format, one of `SUFFIXES`.
        frames: `[H, W, 3]` RGB each, all of equal size with even sides.
        fps: frames per second.
        notify: called with a message if another format than the requested one is written.

    Returns:
        The written file: `path`, or the same name with the suffix `FALLBACK` if OpenCV cannot encode.

    Raises:
        OutputError: there are no frames, or the file cannot be written completely.
    """
    check_video_name(path)
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        raise OutputError("there are no frames", where=str(path), remedy="Give a source with at least one frame.")
    stream = itertools.chain([first], stream)
    codec = CODECS.get(path.suffix.lower())
    if codec is not None:
        try:
            _encode(path, codec, stream, fps, (first.shape[1], first.shape[0]))
            return path
        except _NoEncoder:
            requested, path = path, path.with_suffix(FALLBACK)
            notify(f"OpenCV on this machine cannot write {requested.suffix} ({codec}): writing {path.name} instead")
    _write_animation(path, stream, fps)
    return path


class _NoEncoder(Exception):
    """OpenCV was built without the requested codec."""


def _encode(path: Path, codec: str, stream: Iterator[ImageArray], fps: float, size: tuple[int, int]) -> None:
    with whole_file(path) as partial:
        writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*codec), fps, size)
        count = 0
        try:
            if not writer.isOpened():
                raise _NoEncoder
            for frame in stream:
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
                count += 1
        finally:
            writer.release()
        # OpenCV reports no failed write, so a full disk shows only in the file
        readable = _frame_count(partial)
        if readable != count:
            raise OSError(f"the video has {readable} of {count} frames; the disk may be full")


def _frame_count(path: Path) -> int:
    """Return the number of frames that can be read from a video, 0 if it cannot be opened."""
    if not path.is_file():
        return 0
    capture = cv2.VideoCapture(str(path))
    try:
        count = 0
        while capture.grab():
            count += 1
        return count
    finally:
        capture.release()


def _write_animation(path: Path, stream: Iterator[ImageArray], fps: float) -> None:
    if path.suffix.lower() == WEBP:
        images = (Image.fromarray(frame) for frame in stream)
        options: dict[str, Any] = {
            "format": "WEBP",
            "quality": WEBP_QUALITY,
            "method": 4,
            "duration": round(1000 / fps),
        }
    else:
        images = (Image.fromarray(frame).quantize(128, Image.Quantize.FASTOCTREE) for frame in stream)
        # GIF stores durations in hundredths of a second
        options = {"format": "GIF", "duration": max(20, 10 * round(100 / fps))}
    with whole_file(path) as partial:
        next(images).save(partial, save_all=True, append_images=images, loop=0, **options)
