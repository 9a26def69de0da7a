"""The errors that a user of this package can cause.

Every message answers three questions: what was wrong, where, and what to do about it.
"""

from __future__ import annotations


class OccDepthError(Exception):
    """Base of all errors that a user can cause and repair.

    Args:
        what: what was wrong, in one sentence.
        where: the file, topic or parameter that it was found in.
        remedy: what the user can do about it.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{where}: {what}" if where else what
        super().__init__(f"{message}. {remedy}" if remedy else message)


class CalibrationError(OccDepthError):
    """A camera calibration that cannot be used."""


class GridError(OccDepthError):
    """A voxel grid that cannot be used."""


class ImageError(OccDepthError):
    """An image that is missing, unreadable, or does not fit the calibration."""


class SourceError(OccDepthError):
    """A stereo sequence on disk that cannot be replayed."""


class CheckpointError(OccDepthError):
    """A weights file that is missing, damaged, unsafe, or meant for another network."""


class ModelError(OccDepthError):
    """An unknown model name, or a model that cannot run on this machine."""


class OutputError(OccDepthError):
    """Results that cannot be written where they were asked for."""


class RecipeError(OccDepthError):
    """A training recipe that cannot be used: an unknown key, a value of the wrong kind, a contradiction."""


class TrainingError(OccDepthError):
    """A training that cannot start or go on."""
