"""What is wrong with a download, file by file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Problem(NamedTuple):
    """Something wrong with a download: the file or folder, and what is wrong with it."""

    where: Path
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
