"""Order, numbers and times of frames by the names of their image files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt

PERIOD_NS = 100_000_000
"""Time between successive frames without recorded times, nanoseconds: 10 Hz, the rate of KITTI's LiDAR."""
_UNIX = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
"""Nanoseconds per unit of a Unix time by its number of digits: seconds, milli-, micro- and nanoseconds."""
_DIGITS = re.compile(r"(\d+)")
_SECONDS = re.compile(r"[1-9]\d{9}\.\d+")
_NUMBERED = re.compile(r"(.*?)(\d{1,15})")


def frame_order(names: Iterable[str]) -> list[str]:
    """Return the names in the order of the numbers in them: 9 before 10, with or without leading zeros."""

    def key(name: str) -> tuple[list[tuple[int, int, str]], str]:
        parts = [part for part in _DIGITS.split(name) if part]
        return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name

    return sorted(names, key=key)


def frame_numbers(names: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Return the numbers at the end of the names if all names have one after the same prefix; else None."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    if not all(found) or len({match[1] for match in found if match}) != 1:
        return None
    numbers = np.array([int(match[2]) for match in found if match], np.int64)
    return numbers if len(np.unique(numbers)) == len(numbers) else None


def stamps_of_names(names: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Return the times that the names state, nanoseconds: Unix times in s, ms, us or ns; None if the names state no
    times."""
    if all(_SECONDS.fullmatch(name) for name in names):
        return np.array([int(Decimal(name) * 1_000_000_000) for name in names], np.int64)
    lengths = {len(name) for name in names}
    unit = _UNIX.get(lengths.pop()) if len(lengths) == 1 else None
    if unit is None or not all(name.isdecimal() and name[0] == "1" for name in names):
        return None
    return np.array([int(name) * unit for name in names], np.int64)


def assumed_stamps(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return times for frames without recorded times, nanoseconds from the first frame.

    They are the times stated by the names; otherwise frame numbers at 10 Hz, with a gap for a missing number; otherwise
    successive frames at 10 Hz.
    """
    stated = stamps_of_names(names)
    if stated is not None:
        return stated
    numbers = frame_numbers(names)
    steps = np.arange(len(names), dtype=np.int64) if numbers is None else numbers - numbers.min(initial=numbers[0])
    return np.asarray(steps * PERIOD_NS, np.int64)
