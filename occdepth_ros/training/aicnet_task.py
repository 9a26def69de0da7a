"""What AICNet learns from a scene: image and matched depth in, classes of the voxels (Li et al., CVPR 2020)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.aicnet.network import AicNet
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.evidence_task import MeasuredOptions, MeasuredTask, window_of
from occdepth_ros.training.losses.cross_entropy import class_cross_entropy
from occdepth_ros.training.task import Batch


@dataclass(frozen=True)
class AicNetOptions(MeasuredOptions):
    """The section `task` of a recipe of this family.

    Args:
        network: what differs from the default sizes, by field of `AicNetConfig`.
        augmentation, window, frequencies: see `MeasuredOptions`.

    Raises:
        RecipeError: a field is wrong.
    """

    network: AicNetConfig = field(default_factory=AicNetConfig)

    @property
    def model(self) -> str:
        """Name of the model that the weights are for."""
        return self.network.name

    def build(self) -> AicNetTask:
        """Make the task, its network with fresh weights."""
        return self.begun(AicNetTask(self.network, augmentation=self.augmentation, window=self.window))


class AicNetTask(MeasuredTask):
    """AICNet from an image and its matched depth.

    Args:
        config: the network.
        augmentation, window: see `MeasuredTask`.
    """

    def __init__(
        self,
        config: AicNetConfig | None = None,
        *,
        augmentation: Augmentation | None = None,
        window: int | None = None,
    ) -> None:
        self.config = config or AicNetConfig()
        super().__init__(self.config, AicNet(self.config), augmentation=augmentation, window=window)

    def heads(self) -> list[nn.Conv3d]:
        """The head of the completion."""
        head: Any = self.network.get_submodule("classes.conv")
        return [head]

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Class-weighted cross entropy of the voxels."""
        scenes = [
            class_cross_entropy(
                self.network(surface, window_of(batch, i)), batch["target"][i : i + 1], self._class_weights
            )
            for i, surface in enumerate(batch["surface"])
        ]
        return {"cross_entropy": torch.stack(scenes).mean()}

    def logits(self, batch: Batch) -> torch.Tensor:
        """See `ClassifyingTask`."""
        return torch.cat([self.network(surface) for surface in batch["surface"]])
