"""Training task of LMSCNet: input stereo occupancy, target classes at every scale (Roldão et al., section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.models.comparison.lmscnet.config import SCALES, LmscNetConfig
from occdepth_ros.models.comparison.lmscnet.network import LmscNet
from occdepth_ros.stereo.matching import ImageArray
from occdepth_ros.stereo.occupancy import StereoOccupancy
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.losses.cross_entropy import class_cross_entropy
from occdepth_ros.training.task import Batch, Prepared
from occdepth_ros.training.tasks.evidence import EvidenceOptions, EvidenceTask, window_of


@dataclass(frozen=True)
class LmscNetOptions(EvidenceOptions):
    """The section `task` of a recipe of this family.

    Args:
        network: overrides of the published sizes, by field of `LmscNetConfig`.
        augmentation, window, frequencies: see `EvidenceOptions`.

    Raises:
        RecipeError: a field is invalid.
    """

    network: LmscNetConfig = field(default_factory=LmscNetConfig)

    @property
    def model(self) -> str:
        """Name of the model that loads the trained weights."""
        return self.network.name

    def build(self) -> LmscNetTask:
        """Create the task with a newly initialized network."""
        return self.initialized(LmscNetTask(self.network, augmentation=self.augmentation, window=self.window))


class LmscNetTask(EvidenceTask):
    """Trains LMSCNet on the occupancy of stereo matching.

    Args:
        config: the network.
        augmentation, window: see `EvidenceTask`.
    """

    def __init__(
        self,
        config: LmscNetConfig | None = None,
        *,
        augmentation: Augmentation | None = None,
        window: int | None = None,
    ) -> None:
        self.config = config or LmscNetConfig()
        super().__init__(self.config, LmscNet(self.config), augmentation=augmentation, window=window)

    def evidence(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> Prepared:
        """Return `occupancy` `[X, Y, Z]` float32."""
        return {"occupancy": torch.from_numpy(stereo.occupied(disparity)).float()}

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair and create the targets of one scene; see `EvidenceTask.prepare`.

        Returns:
            additionally, in training, `target_s` `[X/s, Y/s, Z/s]` uint8 for each coarser scale s.
        """
        prepared = super().prepare(example, rng)
        del prepared["ground_truth"]
        if rng is not None:
            for scale in SCALES[:-1]:
                coarser = downsample_labels(prepared["target"].numpy(), scale)
                prepared[_target(scale)] = torch.from_numpy(coarser)
        return prepared

    def heads(self) -> list[nn.Conv3d]:
        """Return the last convolution of every scale."""
        heads: Any = self.network.get_submodule("heads")
        return [heads[str(scale)].classes for scale in SCALES]

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the class-weighted cross entropies by scale, equally weighted; only the finest without coarser
        targets.
        """
        volumes: torch.Tensor = batch["occupancy"]
        scales = tuple(s for s in SCALES if _target(s) in batch)
        terms = {f"cross_entropy_{s}": volumes.new_zeros(()) for s in scales}
        for i in range(len(volumes)):
            # scene by scene, because every scene has its own window
            logits: dict[int, torch.Tensor] = self.network(volumes[i : i + 1], scales, window_of(batch, i))
            for s in scales:
                term = class_cross_entropy(logits[s], batch[_target(s)][i : i + 1], self._class_weights)
                terms[f"cross_entropy_{s}"] = terms[f"cross_entropy_{s}"] + term / len(volumes)
        return terms

    def logits(self, batch: Batch) -> torch.Tensor:
        """See `ClassifyingTask`."""
        logits: torch.Tensor = self.network(batch["occupancy"], scales=(1,))[1]
        return logits


def _target(scale: int) -> str:
    """Return the key of the labels at a scale."""
    return "target" if scale == 1 else f"target_{scale}"
