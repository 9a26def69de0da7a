"""Training task of JS3C-Net: classes of matched points and of all voxels (Yan et al., AAAI 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.models.comparison.js3cnet.network import Js3cNet
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.losses.cross_entropy import class_cross_entropy
from occdepth_ros.training.task import Batch
from occdepth_ros.training.tasks.evidence import EvidenceOptions, EvidenceTask, window_of


@dataclass(frozen=True)
class Js3cNetOptions(EvidenceOptions):
    """The section `task` of a recipe of this family.

    Args:
        network: overrides of the default sizes, by field of `Js3cNetConfig`.
        augmentation, window, frequencies: see `EvidenceOptions`.

    Raises:
        RecipeError: a field is invalid.
    """

    network: Js3cNetConfig = field(default_factory=Js3cNetConfig)

    @property
    def model(self) -> str:
        """Name of the model that loads the trained weights."""
        return self.network.name

    def build(self) -> Js3cNetTask:
        """Create the task with a newly initialized network."""
        return self.initialized(Js3cNetTask(self.network, augmentation=self.augmentation, window=self.window))


class Js3cNetTask(EvidenceTask):
    """Trains JS3C-Net on the points of stereo matching.

    The ground truth of a point is the class of its voxel, so that all networks of the comparison use the same labels;
    labels of pixels or LiDAR points are not used. The empty class marks points that were matched wrongly.

    Args:
        config: the network.
        augmentation, window: see `EvidenceTask`.
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
        """Return the classification head of the completion network."""
        head: Any = self.network.get_submodule("classes.conv")
        return [head]

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the class-weighted cross entropies of voxels, points, and points refined by the completion.

        The terms have equal weights. The published weights of the terms are trained, but change little in hundreds of
        steps.
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
