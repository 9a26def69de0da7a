"""How ready a trained network is to call a voxel occupied, chosen on training scenes as the anchors' thresholds are.

After a small budget most of what separates two networks may be this one number, which class weights and losses move
more than images do. It is an addend of the empty class's logit, which the biases of the weights can hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from benchmarks.anchors.prior import best_threshold
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.models.loading import load_strict
from occdepth_ros.training.run import write_weights
from occdepth_ros.training.task import ClassifyingTask, collate

Counts = npt.NDArray[np.int64]

REACH = 8.0
"""Addends from -REACH to REACH are tried."""
LEVELS = 128
"""Steps between them."""
SCENES = 8
"""Training scenes that it is chosen on, evenly spread."""


def balanced(
    task: ClassifyingTask, weights: Path, training: SceneDataset, out: Path, *, bias: str, precision: str
) -> float:
    """Write weights whose empty class has the addend of the highest SC IoU on training scenes.

    Args:
        task: of the row.
        weights: the trained ones.
        training: the scenes; `SCENES` of them are looked at.
        out: safetensors file to write.
        bias: name of the tensor that is added to the class logits, its entries classes times fine voxels, classes
            outermost.
        precision: that the row was trained in, "bfloat16" or "float32".

    Returns:
        the addend.

    Raises:
        OccDepthError: the weights are of another network, or a file cannot be written.
    """
    state = load_file(weights)
    load_strict(task.network, state, where=str(weights))
    free, occupied = _levels(task, training, half=precision == "bfloat16")
    addend = addend_of(free, occupied)
    classes = len(task.classes)
    shifted = state[bias].reshape(classes, -1).clone()
    shifted[EMPTY] += addend
    write_weights(out, {**state, bias: shifted.reshape(state[bias].shape)}, model=weights.parent.name)
    return addend


def addend_of(free: Counts, occupied: Counts) -> float:
    """The addend of the empty logit, from numbers of free and occupied voxels by level, see `level`."""
    return (2 * best_threshold(free, occupied) - 1) * REACH


def level(logits: torch.Tensor) -> torch.Tensor:
    """How far the best other class is above the empty one, in steps from -REACH, `[C, N]` to `[N]` int64."""
    lead = logits[1:].amax(0) - logits[EMPTY]
    return ((lead + REACH) / (2 * REACH) * LEVELS).round().clamp_(0, LEVELS).long()


@torch.inference_mode()
def _levels(task: ClassifyingTask, training: SceneDataset, *, half: bool) -> tuple[Counts, Counts]:
    task.network.eval()
    counts = np.zeros((2, LEVELS + 1), np.int64)
    for index in np.unique(np.linspace(0, len(training) - 1, SCENES).astype(int)):
        batch = collate([task.prepare(training[int(index)], None)])
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = task.logits(batch)[0].float().flatten(1)
        target = batch["target"].flatten()
        levels = level(logits)
        for row, chosen in enumerate((target == EMPTY, (target != EMPTY) & (target != UNKNOWN))):
            counts[row] += torch.bincount(levels[chosen], minlength=LEVELS + 1).numpy()
    return counts[0], counts[1]
