"""Problems of a download, file by file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Problem(NamedTuple):
    """A problem of a download: the file or folder, and a description."""

    where: Path
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
