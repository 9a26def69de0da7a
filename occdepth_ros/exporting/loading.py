"""Predictor of an exported file by the model that it contains."""

from __future__ import annotations

from pathlib import Path

from occdepth_ros.errors import CheckpointError
from occdepth_ros.exporting.bev_predictor import ExportedBevPredictor
from occdepth_ros.exporting.predictor import ExportedPredictor
from occdepth_ros.exporting.reading import read_exported

AnyExported = ExportedPredictor | ExportedBevPredictor


def load_exported(*, weights: Path, name: str | None = None, device: str = "auto") -> AnyExported:
    """Return the predictor of a file that `occdepth export` wrote.

    Args:
        weights: the file.
        name: model that the file must contain; None accepts any model.
        device: as for `Session`; pre- and postprocessing run on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, contains another model, or is not an exported model.
        ModelError: a library or the device is missing.
    """
    exported = read_exported(weights)
    model = exported.about.model
    if name is not None and name != model:
        raise CheckpointError(
            f"this is an exported {model}, not {name}",
            where=str(weights),
            remedy=f"Choose the model {model}, or another file.",
        )
    kind = ExportedBevPredictor if exported.about.is_bev else ExportedPredictor
    return kind(exported, device, str(weights))
