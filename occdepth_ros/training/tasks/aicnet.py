"""Training task of AICNet: input image and matched depth, target voxel classes (Li et al., CVPR 2020)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.aicnet.network import AicNet
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.losses.cross_entropy import class_cross_entropy
from occdepth_ros.training.task import Batch
from occdepth_ros.training.tasks.evidence import EvidenceOptions, EvidenceTask, window_of


@dataclass(frozen=True)
class AicNetOptions(EvidenceOptions):
    """The section `task` of a recipe of this family.

    Args:
        network: overrides of the default sizes, by field of `AicNetConfig`.
        augmentation, window, frequencies: see `EvidenceOptions`.

    Raises:
        RecipeError: a field is invalid.
    """

    network: AicNetConfig = field(default_factory=AicNetConfig)

    @property
    def model(self) -> str:
        """Name of the model that loads the trained weights."""
        return self.network.name

    def build(self) -> AicNetTask:
        """Create the task with a newly initialized network."""
        return self.initialized(AicNetTask(self.network, augmentation=self.augmentation, window=self.window))


class AicNetTask(EvidenceTask):
    """Trains AICNet on an image and its matched depth.

    Args:
        config: the network.
        augmentation, window: see `EvidenceTask`.
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
        """Return the classification head of the completion network."""
        head: Any = self.network.get_submodule("classes.conv")
        return [head]

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the class-weighted cross entropy of the voxels."""
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
