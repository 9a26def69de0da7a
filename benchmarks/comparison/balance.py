"""Decision threshold of occupancy, selected on training scenes like the thresholds of the anchors.

After a small budget, differences between networks can mainly be differences of this threshold, which depends more on
class weights and losses than on images. It is an addend of the empty class's logit and is stored in the biases; the
bird's-eye-view network has an occupancy logit instead, whose offset is in its calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from benchmarks.anchors.prior import best_threshold
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.models.edge_bev.readout import unfolded
from occdepth_ros.models.loading.state import load_strict
from occdepth_ros.training.run import write_weights
from occdepth_ros.training.task import Batch, ClassifyingTask, Task, collate
from occdepth_ros.training.tasks.edge_bev import EdgeBevTask

Counts = npt.NDArray[np.int64]

REACH = 8.0
"""Addends from -REACH to REACH are evaluated."""
LEVELS = 128
"""Number of steps between them."""
SCENES = 8
"""Number of training scenes for the selection, evenly spread."""


def balanced(
    task: ClassifyingTask, weights: Path, training: SceneDataset, out: Path, *, bias: str, precision: str
) -> float:
    """Write weights whose empty class has the addend of the highest SC IoU on training scenes.

    Args:
        task: task of the row.
        weights: the trained weights.
        training: the training scenes; `SCENES` of them are used.
        out: safetensors file to write.
        bias: name of the bias of the class logits; its entries are classes times fine voxels, classes outermost.
        precision: precision of the row's training, "bfloat16" or "float32".

    Returns:
        the addend.

    Raises:
        OccDepthError: the weights belong to another network, or a file cannot be written.
    """
    state = load_file(weights)
    load_strict(task.network, state, where=str(weights))

    def lead(batch: Batch) -> torch.Tensor:
        logits = task.logits(batch)[0].float().flatten(1)
        return logits[1:].amax(0) - logits[EMPTY]

    addend = addend_of(*_levels(task, training, lead, half=precision == "bfloat16"))
    classes = len(task.classes)
    shifted = state[bias].reshape(classes, -1).clone()
    shifted[EMPTY] += addend
    write_weights(out, {**state, bias: shifted.reshape(state[bias].shape)}, model=weights.parent.name)
    return addend


def balanced_bev(task: EdgeBevTask, weights: Path, training: SceneDataset, out: Path, *, precision: str) -> float:
    """Write weights of the bird's-eye-view network whose occupancy has the offset of the highest SC IoU.

    Arguments, result and errors as for `balanced`; the addend is the negative offset.
    """
    state = load_file(weights)
    load_strict(task.network, state, where=str(weights))
    limit = float(torch.logit(state["limits"][0, 1]))

    def lead(batch: Batch) -> torch.Tensor:
        scene, target = batch["inputs"][0].scene, batch["target"][0]
        output = task.network(batch["image"], [scene])[0]
        x, y, z = (n // 2 for n in target.shape)
        return unfolded(output.occupancy.float(), (x, y, z)).flatten() - limit

    addend = addend_of(*_levels(task, training, lead, half=precision == "bfloat16"))
    offset = torch.tensor([0.0, -addend])
    write_weights(out, {**state, "calibration": state["calibration"] + offset}, model=task.options.model)
    return addend


def addend_of(free: Counts, occupied: Counts) -> float:
    """Return the addend of the empty logit from the numbers of free and occupied voxels by level, see `level`."""
    return (2 * best_threshold(free, occupied) - 1) * REACH


def level(lead: torch.Tensor) -> torch.Tensor:
    """Quantize the margin of the best other class over the empty class in steps from -REACH, `[N]`."""
    return ((lead + REACH) / (2 * REACH) * LEVELS).round().clamp_(0, LEVELS).long()


@torch.inference_mode()
def _levels(
    task: Task, training: SceneDataset, lead: Callable[[Batch], torch.Tensor], *, half: bool
) -> tuple[Counts, Counts]:
    task.network.eval()
    counts = np.zeros((2, LEVELS + 1), np.int64)
    for index in np.unique(np.linspace(0, len(training) - 1, SCENES).astype(int)):
        batch = collate([task.prepare(training[int(index)], None)])
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            levels = level(lead(batch))
        target = batch["target"].flatten()
        for row, chosen in enumerate((target == EMPTY, (target != EMPTY) & (target != UNKNOWN))):
            counts[row] += torch.bincount(levels[chosen], minlength=LEVELS + 1).numpy()
    return counts[0], counts[1]
