"""The joint between a family of networks and the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from occdepth_ros.classes import ClassTable
from occdepth_ros.data.example import SceneExample

Prepared = dict[str, Any]
"""What a task makes of one scene: tensors without a batch axis, and objects that have a method `to(device)`."""

Batch = Mapping[str, Any]
"""B prepared scenes of equal keys: tensors stacked to `[B, ...]`, anything else as a list of B."""


@runtime_checkable
class Task(Protocol):
    """What a family of networks learns from a scene; one class per family.

    Every batch has the key `target`: class ids of the voxels that `predict` answers for, `[B, X, Y, Z]` uint8, 255
    unknown.
    """

    network: nn.Module
    """What is trained and saved. Its parameter names are those of the weights file; what never gets a gradient has
    `requires_grad` off."""
    classes: ClassTable
    """What the labels mean."""

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Make inputs and targets on the CPU, in a worker of the loader.

        Args:
            example: the scene.
            rng: source of the augmentation's random numbers; None = no augmentation.

        Raises:
            OccDepthError: the scene does not fit the network.
        """

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Weighted terms by name, scalars with gradients; their sum is what is minimised."""

    def predict(self, batch: Batch) -> torch.Tensor:
        """Labels of every scene on the grid of `target`, `[B, X, Y, Z]` uint8."""


@runtime_checkable
class ClassifyingTask(Task, Protocol):
    """A task whose labels are the classes of the highest logits, the empty one among them."""

    def logits(self, batch: Batch) -> torch.Tensor:
        """Class logits of every scene on the grid of `target`, `[B, classes, X, Y, Z]`."""


def collate(scenes: Sequence[Prepared]) -> dict[str, Any]:
    """Put prepared scenes together to a batch, see `Batch`."""
    batch: dict[str, Any] = {}
    for key in scenes[0]:
        values = [scene[key] for scene in scenes]
        batch[key] = torch.stack(values) if isinstance(values[0], torch.Tensor) else values
    return batch
