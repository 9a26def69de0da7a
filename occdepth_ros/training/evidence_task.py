"""What networks on a matched pair have in common in training: augmentation, matching, windows, targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.data.example import SceneExample
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.comparison.config import CompletionConfig
from occdepth_ros.models.comparison.surface import MatchedSurface
from occdepth_ros.stereo.matching import ImageArray
from occdepth_ros.stereo.occupancy import StereoOccupancy
from occdepth_ros.training.augmentation import Augmentation, jitter, mirrored
from occdepth_ros.training.losses.class_weights import begin_at_frequencies, class_weights
from occdepth_ros.training.task import Batch, Prepared

Begun = TypeVar("Begun", bound="MeasuredTask")


@dataclass(frozen=True)
class MeasuredOptions:
    """What the sections `task` of such families begin with.

    Args:
        augmentation: of training scenes.
        window: see `MeasuredTask`.
        frequencies: begin with heads that say how frequent the classes are (see `begin_at_frequencies`).

    Raises:
        RecipeError: a field is wrong.
    """

    augmentation: Augmentation = field(default_factory=Augmentation)
    window: int | None = None
    frequencies: bool = False

    def begun(self, task: Begun) -> Begun:
        """A task whose network was made just now, as these options want it to begin."""
        if self.frequencies:
            for head in task.heads():
                begin_at_frequencies(head, task.config.n_classes)
        return task


class MeasuredTask(ABC):
    """A network on what stereo matching shows.

    Args:
        config: sizes of the network.
        network: the network.
        augmentation: of training scenes, before they are matched; None = as OccDepth's.
        window: edge of a random square of columns that full resolution and its losses are confined to in training,
            voxels; None = all. Full resolution costs most of a step, and context is gathered from the whole scene
            anyway.
    """

    classes = SEMANTIC_KITTI

    def __init__(
        self,
        config: CompletionConfig,
        network: nn.Module,
        *,
        augmentation: Augmentation | None = None,
        window: int | None = None,
    ) -> None:
        self.network = network
        self.augmentation = augmentation or Augmentation()
        self.window = window
        self.config = config
        self._class_weights = class_weights(config.n_classes)

    def measured(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> Prepared:
        """What the network takes; arguments as for `MatchedSurface.of`."""
        return {"surface": MatchedSurface.of(stereo, left, disparity)}

    @abstractmethod
    def heads(self) -> list[nn.Conv3d]:
        """The convolutions that tell the voxels' classes."""

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """See `Task`."""

    @abstractmethod
    def logits(self, batch: Batch) -> torch.Tensor:
        """See `ClassifyingTask`."""

    def predict(self, batch: Batch) -> torch.Tensor:
        """Labels of every scene, `[B, X, Y, Z]` uint8."""
        return self.logits(batch).argmax(dim=1).to(torch.uint8)

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair and make the targets of one scene.

        Returns:
            what `measured` makes of it; `ground_truth` `[X, Y, Z]` uint8; `target`, the same, in training with windows
            of the columns of `window`.

        Raises:
            GridError: the ground truth is not on voxels of the network's size.
            CalibrationError: the images are too small to be matched.
        """
        self.config.check_grid(example.grid)
        left, right, window = example.left, example.right, None
        if rng is not None:
            if rng.random() < self.augmentation.mirror:
                example = mirrored(example)
            images = torch.from_numpy(np.stack([example.left, example.right])).movedim(-1, 1)
            left, right = jitter(images, self.augmentation, rng).movedim(1, -1).numpy()
            if self.window is not None:
                window = ColumnWindow.draw(self.window, self.config.grid.size[:2], rng)
        stereo = StereoOccupancy(example.rig, example.grid)
        small = stereo.resized(left)
        disparity, _ = stereo.match(small, stereo.resized(right))
        ground_truth = torch.from_numpy(example.target)
        prepared: Prepared = {
            **self.measured(stereo, small, disparity),
            "ground_truth": ground_truth,
            "target": ground_truth,
        }
        if window is not None:
            prepared |= {"window": window, "target": window.crop(ground_truth)}
        return prepared


def window_of(batch: Batch, scene: int) -> ColumnWindow | None:
    """The window of a scene of the batch, None where there are none."""
    return batch["window"][scene] if "window" in batch else None
