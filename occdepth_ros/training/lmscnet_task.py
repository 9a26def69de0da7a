"""What LMSCNet learns from a scene: measured occupancy in, classes at every scale (Roldão et al., section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.geometry.occupancy import StereoOccupancy
from occdepth_ros.models.lmscnet.config import SCALES, LmscNetConfig
from occdepth_ros.models.lmscnet.network import LmscNet
from occdepth_ros.models.window import ColumnWindow
from occdepth_ros.training.augmentation import Augmentation, jitter, mirrored
from occdepth_ros.training.losses.class_weights import class_weights
from occdepth_ros.training.losses.cross_entropy import class_cross_entropy
from occdepth_ros.training.task import Batch, Prepared


@dataclass(frozen=True)
class LmscNetOptions:
    """The section `task` of a recipe of this family.

    Args:
        network: what differs from the published sizes, by field of `LmscNetConfig`.
        augmentation: of training scenes.
        window: see `LmscNetTask`.

    Raises:
        RecipeError: a field is wrong.
    """

    network: LmscNetConfig = field(default_factory=LmscNetConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    window: int | None = None

    @property
    def model(self) -> str:
        """Name of the model that the weights are for."""
        return self.network.name

    def build(self) -> LmscNetTask:
        """Make the task, its network with fresh weights."""
        return LmscNetTask(self.network, augmentation=self.augmentation, window=self.window)


class LmscNetTask:
    """LMSCNet from the occupancy that stereo matching measures.

    Args:
        config: the network.
        augmentation: of training scenes, before they are matched; None = as OccDepth's.
        window: edge of a random square of columns that heads and losses are confined to in training, voxels; None =
            all. The heads cost most of a step, and context is gathered from the whole scene anyway.
    """

    classes = SEMANTIC_KITTI

    def __init__(
        self,
        config: LmscNetConfig | None = None,
        *,
        augmentation: Augmentation | None = None,
        window: int | None = None,
    ) -> None:
        self.config = config or LmscNetConfig()
        self.augmentation = augmentation or Augmentation()
        self.window = window
        self.network: nn.Module = LmscNet(self.config)
        self._class_weights = class_weights(self.config.n_classes)

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair and make the targets of one scene.

        Returns:
            `occupancy` `[X, Y, Z]` float32; `target` `[X, Y, Z]` and `target_s` `[X/s, Y/s, Z/s]` for the coarser
            scales s, uint8; in training with windows `window`, of which the targets then are.

        Raises:
            GridError: the truth is not on voxels of the network's size.
            CalibrationError: the pictures are too small to be matched.
        """
        self.config.check_grid(example.grid)
        left, right, window = example.left, example.right, None
        if rng is not None:
            if rng.random() < self.augmentation.mirror:
                example = mirrored(example)
            pictures = torch.from_numpy(np.stack([example.left, example.right])).movedim(-1, 1)
            left, right = jitter(pictures, self.augmentation, rng).movedim(1, -1).numpy()
            if self.window is not None:
                window = ColumnWindow.draw(self.window, self.config.grid.size[:2], rng)
        stereo = StereoOccupancy(example.rig, example.grid)
        disparity, _ = stereo.match(stereo.shrunk(left), stereo.shrunk(right))
        target = torch.from_numpy(example.target)
        prepared: Prepared = {"occupancy": torch.from_numpy(stereo.occupied(disparity)).float()}
        if window is not None:
            prepared["window"] = window
            target = window.crop(target)
        prepared["target"] = target
        if rng is not None:
            for scale in SCALES[:-1]:
                prepared[_target(scale)] = torch.from_numpy(downsample_labels(target.numpy(), scale))
        return prepared

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Class-weighted cross entropies by scale, equally weighted; without coarser targets the finest alone."""
        volumes: torch.Tensor = batch["occupancy"]
        scales = tuple(s for s in SCALES if _target(s) in batch)
        terms = {f"cross_entropy_{s}": volumes.new_zeros(()) for s in scales}
        for i in range(len(volumes)):
            # one by one: every scene has its own window
            window: ColumnWindow | None = batch["window"][i] if "window" in batch else None
            logits: dict[int, torch.Tensor] = self.network(volumes[i : i + 1], scales, window)
            for s in scales:
                term = class_cross_entropy(logits[s], batch[_target(s)][i : i + 1], self._class_weights)
                terms[f"cross_entropy_{s}"] = terms[f"cross_entropy_{s}"] + term / len(volumes)
        return terms

    def predict(self, batch: Batch) -> torch.Tensor:
        """Labels of every scene, `[B, X, Y, Z]` uint8."""
        logits: torch.Tensor = self.network(batch["occupancy"], scales=(1,))[1]
        return logits.argmax(dim=1).to(torch.uint8)


def _target(scale: int) -> str:
    """Key of the labels at a scale."""
    return "target" if scale == 1 else f"target_{scale}"
