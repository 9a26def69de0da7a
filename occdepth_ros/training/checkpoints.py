"""Contents of the checkpoints that a training writes after each round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from occdepth_ros.errors import TrainingError


def network_state(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Read the network's tensors of a training checkpoint, under the names of a weights file.

    Raises:
        TrainingError: the file cannot be read.
    """
    state: dict[str, torch.Tensor] = _entry(checkpoint, "state_dict")
    prefix = "network."
    return {name[len(prefix) :]: tensor.contiguous() for name, tensor in state.items() if name.startswith(prefix)}


def finished_rounds(checkpoint: Path) -> int:
    """Return the number of finished rounds of a training checkpoint.

    Raises:
        TrainingError: the file cannot be read.
    """
    return int(_entry(checkpoint, "loops", "fit_loop", "epoch_progress", "current", "processed"))


def _entry(checkpoint: Path, *keys: str) -> Any:
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        for key in keys:
            content = content[key]
    except Exception as error:  # a damaged archive can raise any exception
        raise TrainingError(f"the checkpoint cannot be read ({error})", where=str(checkpoint)) from error
    return content
