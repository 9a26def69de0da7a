"""The frames that `--start` and `--count` select."""

from __future__ import annotations

from occdepth_ros.errors import SourceError


def select_frames(length: int, start: int, count: int | None, where: str) -> range:
    """Return the indices of the selected frames.

    Raises:
        SourceError: the range is empty or exceeds the sequence.
    """
    stop = length if count is None else start + count
    if start < 0 or start >= length or stop <= start or stop > length:
        given = f"--start {start}" + ("" if count is None else f" --count {count}")
        raise SourceError(
            f"{given} exceeds a sequence of {length} frames",
            where=where,
            remedy=f"Frames are 0 to {length - 1}; --count is at least 1.",
        )
    return range(start, stop)
