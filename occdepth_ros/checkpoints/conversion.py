"""Conversion of training checkpoints to safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from occdepth_ros.checkpoints.published import recognise_published
from occdepth_ros.checkpoints.unpickling import TrainingCheckpoint, read_training_checkpoint
from occdepth_ros.errors import CheckpointError
from occdepth_ros.files import whole_file
from occdepth_ros.models.loading.state import check_finite


@dataclass(frozen=True)
class Conversion:
    """Result of a conversion.

    Args:
        models: models that the tensors fit; several if only untrained parts differ.
        tensors: number of tensors written.
        parameters: number of values in them, batch-norm statistics and buffers included.
        checkpoint: content of the source.
        target: the file that was written.
        notes: further findings, one line each.
    """

    models: tuple[str, ...]
    tensors: int
    parameters: int
    checkpoint: TrainingCheckpoint
    target: Path
    notes: tuple[str, ...] = ()


def convert(source: Path, target: Path, *, model: str | None = None) -> Conversion:
    """Write the weights of a training checkpoint as safetensors.

    Args:
        source: checkpoint written by torch.save, such as PyTorch Lightning's, in the legacy format too; never executed.
        target: file to write, complete or not at all.
        model: model that the tensors must fit; None accepts any model.

    Raises:
        CheckpointError: the source is damaged, fits no network, or does not fit `model`.
        OutputError: the target cannot be written.
    """
    where = str(source)
    checkpoint = read_training_checkpoint(source)
    check_finite(checkpoint.state, where)
    published = recognise_published(checkpoint.state, where)
    models = published.models
    if model is not None and model not in models:
        raise CheckpointError(
            f"this is {' or '.join(models)}, not {model}", where=where, remedy="Name that model, or none."
        )
    tensors = {name: tensor.contiguous() for name, tensor in published.state.items()}
    with whole_file(target) as partial:
        try:
            save_file(tensors, partial, {"format": "pt", "model": model or models[0]})
        except SafetensorError as error:
            raise OSError(f"cannot write: {error}") from error
    count = sum(tensor.numel() for tensor in published.state.values())
    return Conversion(models, len(tensors), count, checkpoint, target, (*checkpoint.notes, *published.notes))
