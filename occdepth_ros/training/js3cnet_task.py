"""What JS3C-Net learns from a scene: names of matched points and classes of all voxels (Yan et al., AAAI 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.models.comparison.js3cnet.network import Js3cNet
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.evidence_task import MeasuredOptions, MeasuredTask, window_of
from occdepth_ros.training.losses.cross_entropy import class_cross_entropy
from occdepth_ros.training.task import Batch


@dataclass(frozen=True)
class Js3cNetOptions(MeasuredOptions):
    """The section `task` of a recipe of this family.

    Args:
        network: what differs from the default sizes, by field of `Js3cNetConfig`.
        augmentation, window, frequencies: see `MeasuredOptions`.

    Raises:
        RecipeError: a field is wrong.
    """

    network: Js3cNetConfig = field(default_factory=Js3cNetConfig)

    @property
    def model(self) -> str:
        """Name of the model that the weights are for."""
        return self.network.name

    def build(self) -> Js3cNetTask:
        """Make the task, its network with fresh weights."""
        return self.begun(Js3cNetTask(self.network, augmentation=self.augmentation, window=self.window))


class Js3cNetTask(MeasuredTask):
    """JS3C-Net from the points that stereo matching measures.

    A point's ground truth is the class of the voxel that it was matched into: the ground truth that all networks of
    the comparison
    have, and no label of a pixel or of a LiDAR point. The empty class then means a match where nothing is.

    Args:
        config: the network.
        augmentation, window: see `MeasuredTask`.
    """

    def __init__(
        self,
        config: Js3cNetConfig | None = None,
        *,
        augmentation: Augmentation | None = None,
        window: int | None = None,
    ) -> None:
        self.config = config or Js3cNetConfig()
        super().__init__(self.config, Js3cNet(self.config), augmentation=augmentation, window=window)

    def heads(self) -> list[nn.Conv3d]:
        """The head of the completion."""
        head: Any = self.network.get_submodule("classes.conv")
        return [head]

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Class-weighted cross entropies of voxels, points, and points after they saw the completion.

        Equally weighted: the published weights are learnt, which a budget of hundreds of steps leaves where they start.
        """
        terms: dict[str, list[torch.Tensor]] = {"completion": [], "points": [], "interaction": []}
        for i, surface in enumerate(batch["surface"]):
            out = self.network(surface, window_of(batch, i), interact=True)
            named = batch["ground_truth"][i].flatten()[surface.voxel]
            for name, logits, target in (
                ("completion", out.completion, batch["target"][i : i + 1]),
                ("points", out.points, named),
                ("interaction", out.refined, named),
            ):
                terms[name].append(class_cross_entropy(logits, target, self._class_weights))
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    def logits(self, batch: Batch) -> torch.Tensor:
        """See `ClassifyingTask`."""
        return torch.cat([self.network(surface).completion for surface in batch["surface"]])
