"""Errors caused by user input.

Every message states what is wrong, where, and how to correct it.
"""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path


class OccDepthError(Exception):
    """Base class of all errors that a user can cause and correct.

    Args:
        what: one sentence that states what is wrong.
        where: the file, topic or parameter concerned.
        remedy: how to correct it.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{where}: {what}" if where else what
        super().__init__(f"{message}. {remedy}" if remedy else message)


@dataclass(frozen=True)
class InputWarning:
    """An implausible input that is used nevertheless.

    Args:
        name: short fixed name, such as "body_frame"; the node uses it as the name of the fault.
        what: one sentence that states what is implausible, with the values.
        where: the file, topic or parameter concerned.
        remedy: how to correct it.
    """

    name: str
    what: str
    where: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        message = f"{self.where}: {self.what}" if self.where else self.what
        return f"{message}. {self.remedy}" if self.remedy else message


class CalibrationError(OccDepthError):
    """A camera calibration that cannot be used."""


class GridError(OccDepthError):
    """A voxel grid that cannot be used."""


class ImageError(OccDepthError):
    """An image that is missing, unreadable, or does not match the calibration."""


class SourceError(OccDepthError):
    """A stereo sequence on disk that cannot be replayed."""


class CheckpointError(OccDepthError):
    """A weights file that is missing, damaged, unsafe, or of another network."""


class ModelError(OccDepthError):
    """An unknown model name, or a model that cannot run on this machine."""


class OutputError(OccDepthError):
    """Results that cannot be written to the requested path."""


class RecipeError(OccDepthError):
    """A training recipe with an unknown key, a value of the wrong type, or contradictory values."""


class TrainingError(OccDepthError):
    """A training that cannot start or continue."""


def pip_install(packages: str) -> str:
    """Return the command that installs packages for the running interpreter.

    In a virtual environment that is not activated, such as that of `make env`, `pip` alone is the system's. The Python
    of a distribution refuses pip without an option (PEP 668).
    """
    if sys.prefix != sys.base_prefix:
        return f"{sys.executable} -m pip install {packages}"
    is_managed = (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").is_file()
    return f"pip install {'--break-system-packages ' if is_managed else ''}{packages}"
