"""Common part of the tasks that use a matched pair: augmentation, matching, windows, targets."""

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
from occdepth_ros.training.losses.class_weights import class_weights, initialize_with_frequencies
from occdepth_ros.training.task import Batch, Prepared

NewTask = TypeVar("NewTask", bound="EvidenceTask")


@dataclass(frozen=True)
class EvidenceOptions:
    """Common fields of the sections `task` of these families.

    Args:
        augmentation: augmentation of training scenes.
        window: see `EvidenceTask`.
        frequencies: initialize the heads with the class frequencies (see `initialize_with_frequencies`).

    Raises:
        RecipeError: a field is invalid.
    """

    augmentation: Augmentation = field(default_factory=Augmentation)
    window: int | None = None
    frequencies: bool = False

    def initialized(self, task: NewTask) -> NewTask:
        """Initialize the heads of a new task as the options request, and return the task."""
        if self.frequencies:
            for head in task.heads():
                initialize_with_frequencies(head, task.config.n_classes)
        return task


class EvidenceTask(ABC):
    """Trains a network whose input is stereo evidence.

    Args:
        config: sizes of the network.
        network: the network.
        augmentation: augmentation of training scenes before matching; None = as for OccDepth.
        window: edge of a random square of columns to which full resolution and its losses are limited in training,
            voxels; None = no limit. Full resolution takes most of the time of a step; the lower resolutions always
            process the whole scene.
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

    def evidence(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> Prepared:
        """Return the inputs of the network; arguments as for `MatchedSurface.of`."""
        return {"surface": MatchedSurface.of(stereo, left, disparity)}

    @abstractmethod
    def heads(self) -> list[nn.Conv3d]:
        """Return the convolutions that classify voxels."""

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """See `Task`."""

    @abstractmethod
    def logits(self, batch: Batch) -> torch.Tensor:
        """See `ClassifyingTask`."""

    def predict(self, batch: Batch) -> torch.Tensor:
        """Predict the labels of every scene, `[B, X, Y, Z]` uint8."""
        return self.logits(batch).argmax(dim=1).to(torch.uint8)

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair and create the targets of one scene.

        Returns:
            the network inputs of `evidence`; `ground_truth` `[X, Y, Z]` uint8; `target`, the ground truth, cropped to
            `window` in training with windows.

        Raises:
            GridError: the voxel size of the ground truth differs from the network's.
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
            **self.evidence(stereo, small, disparity),
            "ground_truth": ground_truth,
            "target": ground_truth,
        }
        if window is not None:
            prepared |= {"window": window, "target": window.crop(ground_truth)}
        return prepared


def window_of(batch: Batch, scene: int) -> ColumnWindow | None:
    """Return the window of a scene of the batch, None without windows."""
    return batch["window"][scene] if "window" in batch else None
