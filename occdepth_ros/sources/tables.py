"""Strict parsing of text files of recorded sequences: calibrations, poses and times."""

from __future__ import annotations

import codecs
import re
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import SourceError
from occdepth_ros.files import LFS_POINTER, LFS_REMEDY

Matrix = npt.NDArray[np.float64]

_COMMAS = re.compile(r"[-+.,\deE\s]*\d,[-+.,\deE\s]*")
_MAX_BYTES = 1 << 28


def read_text(path: Path) -> str:
    """Return the contents of a text file, UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        SourceError: the file is missing, unreadable, not text, or larger than 256 MB.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SourceError("the text file is larger than 256 MB", where=str(path))
        contents = path.read_bytes()
        if contents.startswith(LFS_POINTER):
            raise SourceError("the file is a Git LFS pointer", where=str(path), remedy=LFS_REMEDY)
        is_utf16 = contents.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return contents.decode("utf-16" if is_utf16 else "utf-8-sig")
    except OSError as error:
        raise SourceError(f"the file cannot be read ({error.strerror})", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise SourceError("the file is not text", where=str(path), remedy="Copy or download it again.") from error


def read_calibration(path: Path) -> dict[str, Matrix]:
    """Return the entries `name: numbers` of a KITTI calibration file; other entries, such as dates, are ignored.

    Raises:
        SourceError: the file is missing, has no entry, contains NaN or infinity, commas between or in numbers, or an
            entry twice with different numbers.
    """
    entries: dict[str, Matrix] = {}
    for line in read_text(path).splitlines():
        name, colon, rest = line.partition(":")
        if not colon:
            continue
        try:
            numbers = np.array([float(word) for word in rest.split()])
        except ValueError:
            if _COMMAS.fullmatch(rest):
                raise SourceError(
                    f"the numbers of the entry {name} are written with commas ({rest.strip()[:20]} ...)",
                    where=str(path),
                    remedy="Write them with decimal points and blanks between them.",
                ) from None
            continue
        if not np.isfinite(numbers).all():
            raise SourceError(f"the entry {name} contains NaN or infinity", where=str(path))
        if not np.array_equal(entries.get(name.strip(), numbers), numbers):
            raise SourceError(
                f"the entry {name.strip()} occurs twice, with different numbers",
                where=str(path),
                remedy="Remove the one that does not belong to these images.",
            )
        entries[name.strip()] = numbers
    if not entries:
        raise SourceError("no calibration entry of the form 'P2: numbers' was found", where=str(path))
    return entries


POSE_COLUMNS = 12
"""Columns of a line with a 3x4 pose."""
KINDS = {
    7: "a translation and a quaternion",
    8: "a time, a translation and a quaternion (the format of TUM)",
    13: "a frame number and a 3x4 matrix",
    17: "a frame number and a 4x4 matrix (the format of KITTI-360)",
}
"""Contents of lines with other numbers of columns than those of a pose, for the text of an error."""


def read_rows(path: Path, columns: int, *others: int) -> Matrix:
    """Return rows of finite numbers, `[N, columns]`; blank lines and lines that begin with # are left out.

    Args:
        path: the file.
        columns: number of columns.
        others: other numbers of columns that the whole file may have.

    Raises:
        SourceError: a line has another number of columns, a word that is not a number, NaN or infinity; the text names
            the line.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        try:
            row = [float(word) for word in words]
        except ValueError as error:
            remedy = "Write decimal points, and blanks between the numbers; comments begin with #."
            raise SourceError(
                f"{str(error).rpartition(': ')[2]} is not a number", where=where, remedy=remedy
            ) from error
        if len(row) not in ((len(rows[0]),) if rows else (columns, *others)):
            raise SourceError(
                f"the line has {len(row)} numbers, not {len(rows[0]) if rows else columns}",
                where=where,
                remedy=_remedy(len(row), columns),
            )
        if not np.isfinite(row).all():
            raise SourceError("the line contains NaN or infinity", where=where, remedy="Correct or remove the file.")
        rows.append(row)
    if not rows:
        raise SourceError("the file is empty", where=str(path))
    return np.array(rows)


def _remedy(found: int, columns: int) -> str:
    if columns != POSE_COLUMNS:
        return f"Write {columns} per line."
    kind = f"{found} numbers may be {KINDS[found]}. " if found in KINDS else ""
    return f"{kind}Write the 3x4 matrix [R | t] of every frame, row by row, or the 4x4 matrix."


def read_poses(path: Path) -> Matrix:
    """Return rigid poses from rows of twelve numbers (3x4, row by row) or sixteen (4x4), `[N, 4, 4]`.

    Raises:
        SourceError: as for `read_rows`, or a row is not a rotation and a translation.
    """
    rows = read_rows(path, POSE_COLUMNS, 16)
    if rows.shape[1] > POSE_COLUMNS:
        last = np.abs(rows[:, POSE_COLUMNS:] - (0, 0, 0, 1)).max(axis=1)
        if last.max() > 1e-6:
            raise SourceError(
                f"pose {int(last.argmax())} does not end with 0 0 0 1",
                where=str(path),
                remedy="Write the 4x4 matrices row by row; these may be written column by column.",
            )
        rows = rows[:, :POSE_COLUMNS]
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = rows.reshape(-1, 3, 4)
    rotation = poses[:, :3, :3]
    skew = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    bad = (skew > 1e-2) | (np.linalg.det(rotation) < 0)
    if bad.any():
        raise SourceError(
            f"pose {int(bad.argmax())} is not a rotation and a translation",
            where=str(path),
            remedy="Write the 3x4 matrix [R | t] row by row, without scale or mirroring.",
        )
    return poses


MAX_PERIOD_S = 15.0
"""Median time between two frames above which the times are not in seconds; collections of separate frames have 10 s,
cameras of up to 66 Hz more in milliseconds."""
UNITS = {"milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
"""Other units of times, in seconds."""


def read_times(path: Path) -> npt.NDArray[np.int64]:
    """Return the times of a file with one time per line in seconds, as nanoseconds `[N]`.

    Raises:
        SourceError: as for `read_rows`, or the times are not in seconds.
    """
    times = read_rows(path, 1)[:, 0]
    if np.abs(times).max() > 9e9:
        raise SourceError("a time exceeds 9e9 s", where=str(path), remedy="Write seconds.")
    period = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    if period > MAX_PERIOD_S:
        fitting = [unit for unit, size in UNITS.items() if period * size <= MAX_PERIOD_S]
        raise SourceError(
            f"the frames are {period:g} s apart: the times may be in {fitting[0] if fitting else 'another unit'}",
            where=str(path),
            remedy="Write seconds, or remove the file: 10 Hz are assumed then.",
        )
    # a double that stores a Unix time in seconds has errors of up to 120 ns
    words = [line.split()[0] for line in read_text(path).splitlines() if line.strip() and line.split()[0][0] != "#"]
    return np.array([int((Decimal(word) * 1_000_000_000).to_integral_value()) for word in words], np.int64)


def read_date_times(path: Path) -> npt.NDArray[np.int64]:
    """Return dates and times as nanoseconds since 1970 `[N]`.

    Each line is a date and time in UTC, such as "2011-09-26 13:04:38.541329152".

    Raises:
        SourceError: a line is malformed, or the file is empty.
    """
    stamps = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        whole, _, fraction = line.strip().partition(".")
        try:
            moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
            stamps.append(int(moment.timestamp()) * 1_000_000_000 + int(f"{fraction:0<9}"[:9]))
        except ValueError as error:
            raise SourceError(
                f"{line.strip()!r} is not a date and time such as 2011-09-26 13:04:38.541329152",
                where=f"{path}, line {number}",
            ) from error
    if not stamps:
        raise SourceError("the file is empty", where=str(path))
    return np.array(stamps, np.int64)
