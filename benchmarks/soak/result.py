"""One line of the table of `make soak`, and the measurement of memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One measured property.

    Args:
        part: part of the soak, such as "cycles".
        what: the property, with its extent.
        measured: the value with its unit.
        goal: the limit.
        holds: whether the limit holds; None = too short to decide.
    """

    part: str
    what: str
    measured: str
    goal: str
    holds: bool | None


def resident_bytes(pid: int | None = None) -> int:
    """Return the resident memory of a process (default: this one), bytes.

    Raises:
        OSError: the process has ended.
    """
    pages = int(Path(f"/proc/{pid or os.getpid()}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
