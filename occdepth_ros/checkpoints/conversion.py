"""From published training checkpoints to plain weights files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from occdepth_ros.checkpoints.published import recognise_published
from occdepth_ros.checkpoints.unpickling import TrainingCheckpoint, read_training_checkpoint
from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading import State, check_finite


@dataclass(frozen=True)
class Conversion:
    """What a conversion found.

    Args:
        models: presets that the tensors fit; several where they differ in nothing learned.
        tensors: number of tensors written.
        parameters: number of numbers in them, batch-norm statistics and buffers included.
        checkpoint: what else the file said.
        target: the file that was written.
        notes: what else was found out about the tensors, one line each.
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
        source: a checkpoint written by torch.save, such as PyTorch-Lightning's; never executed.
        target: the file to write; it appears complete or not at all.
        model: the preset that it must be; None takes what it is.

    Raises:
        CheckpointError: the source is damaged, of no known configuration, or not `model`; or the target cannot
            be written.
    """
    where = str(source)
    checkpoint = read_training_checkpoint(source)
    check_finite(checkpoint.state, where)
    published = recognise_published(checkpoint.state, where)
    models = published.models
    if model is not None and model not in models:
        raise CheckpointError(
            f"this is {' or '.join(models)}, not {model}", where=where, remedy="Ask for what it is, or for nothing."
        )
    _write(published.state, target, model or models[0])
    count = sum(tensor.numel() for tensor in published.state.values())
    return Conversion(models, len(published.state), count, checkpoint, target, published.notes)


def _write(state: State, target: Path, model: str) -> None:
    part = target.with_name(f"{target.name}.part{os.getpid()}")
    try:
        save_file(state, part, metadata={"format": "pt", "model": model})
        part.replace(target)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot be written ({error})", where=str(target), remedy="Choose another place."
        ) from error
    finally:
        part.unlink(missing_ok=True)
