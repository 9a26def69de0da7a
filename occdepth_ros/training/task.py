"""The interface between a network family and the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from occdepth_ros.classes import ClassTable
from occdepth_ros.data.example import SceneExample

Prepared = dict[str, Any]
"""One prepared scene: tensors without a batch axis, and objects with a method `to(device)`."""

Batch = Mapping[str, Any]
"""B prepared scenes with equal keys: tensors stacked to `[B, ...]`, other objects as a list of B."""


@runtime_checkable
class Task(Protocol):
    """Inputs, targets and losses of a network family; one class per family.

    Every batch has the key `target`: class ids of the voxels that `predict` returns, `[B, X, Y, Z]` uint8, 255
    unknown.
    """

    network: nn.Module
    """The network that is trained and saved. Its parameter names are those of the weights file; parameters that never
    get a gradient have `requires_grad=False`."""
    classes: ClassTable
    """Classes of the labels."""

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Create inputs and targets on the CPU, in a worker of the loader.

        Args:
            example: the scene.
            rng: random generator of the augmentation; None = no augmentation.

        Raises:
            OccDepthError: the scene does not fit the network.
        """

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the weighted loss terms by name, scalars with gradients; their sum is minimized."""

    def predict(self, batch: Batch) -> torch.Tensor:
        """Predict the labels of every scene on the grid of `target`, `[B, X, Y, Z]` uint8."""


@runtime_checkable
class BeginningTask(Task, Protocol):
    """A task whose losses refer to the initial weights."""

    def begin(self) -> None:
        """Called when the network has its initial weights, also by a resumed training, before it loads those of the
        checkpoint."""


@runtime_checkable
class FinishingTask(Task, Protocol):
    """A task that changes the weights after the training."""

    def finished(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the tensors to write to the weights file, from those of the trained network."""


@runtime_checkable
class ClassifyingTask(Task, Protocol):
    """A task whose labels are the argmax of class logits that include the empty class."""

    def logits(self, batch: Batch) -> torch.Tensor:
        """Predict class logits of every scene on the grid of `target`, `[B, classes, X, Y, Z]`."""


def collate(scenes: Sequence[Prepared]) -> dict[str, Any]:
    """Collate prepared scenes to a batch, see `Batch`."""
    batch: dict[str, Any] = {}
    for key in scenes[0]:
        values = [scene[key] for scene in scenes]
        batch[key] = torch.stack(values) if isinstance(values[0], torch.Tensor) else values
    return batch
