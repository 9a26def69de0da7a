"""From scenes to batches in a reproducible order that is shared among devices and can be resumed."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from occdepth_ros.data.example import SceneDataset
from occdepth_ros.training.mixture import Mixture
from occdepth_ros.training.task import Prepared, Task, collate

Place = tuple[int, int]
"""Epoch and index of a scene."""


class RoundSampler(Sampler[Place]):
    """The training order: an endless sequence of shuffled epochs, divided into rounds of equal length.

    Each of several data sets has its own epochs and advances according to its share. A checkpoint is written after
    each round; the number of finished rounds therefore determines the scene at which a training resumes.

    Args:
        mixture: sizes of the data sets and their shares; an int = the number of scenes of a single data set.
        per_round: scenes per round on all devices together; a multiple of `devices`.
        seed: seed of the order.
        rank, devices: index of this device, and number of devices.
    """

    def __init__(self, mixture: Mixture | int, per_round: int, *, seed: int, rank: int = 0, devices: int = 1) -> None:
        self.mixture = mixture if isinstance(mixture, Mixture) else Mixture((mixture,), (1.0,))
        self.per_round = per_round
        self.seed, self.rank, self.devices = seed, rank, devices
        self.round = 0

    def set_epoch(self, number: int) -> None:
        """Select the round, which Lightning calls an epoch."""
        self.round = number

    def __len__(self) -> int:
        return self.per_round // self.devices

    def __iter__(self) -> Iterator[Place]:
        first = self.round * self.per_round
        sizes = self.mixture.sizes
        starts = np.cumsum([0, *sizes])
        turns = self.mixture.turns(first + self.per_round)
        # number of scenes of each data set before each position of the order
        before = np.zeros(len(turns), np.int64)
        for part in range(len(sizes)):
            mine = np.flatnonzero(turns == part)
            before[mine] = np.arange(len(mine))
        orders: dict[int, tuple[int, npt.NDArray[np.int64]]] = {}
        for position in range(first + self.rank, first + self.per_round, self.devices):
            part = int(turns[position])
            epoch, row = divmod(int(before[position]), sizes[part])
            if part not in orders or orders[part][0] != epoch:
                rng = np.random.default_rng([self.seed, epoch, part])
                orders[part] = epoch, rng.permutation(sizes[part])
            yield epoch, int(starts[part] + orders[part][1][row])


class ValidationSampler(Sampler[Place]):
    """Evenly spread scenes of a validation set, each on one device.

    Args:
        scenes: number of scenes of the set.
        requested: number of scenes to select; 0 = all.
        rank, devices: as for `RoundSampler`.
    """

    def __init__(self, scenes: int, requested: int = 0, *, rank: int = 0, devices: int = 1) -> None:
        count = min(requested, scenes) if requested else scenes
        self.indices = [i * scenes // count for i in range(count)][rank::devices]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Place]:
        return iter((0, index) for index in self.indices)


class PreparedScenes(Dataset[Prepared]):
    """Prepared scenes by epoch and index.

    Args:
        scenes: the data set.
        task: the task that prepares the scenes.
        seed: seed of the augmentation, together with epoch and index; None = no augmentation.
    """

    def __init__(self, scenes: SceneDataset, task: Task, seed: int | None) -> None:
        self.scenes, self.task, self.seed = scenes, task, seed

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, place: Place) -> Prepared:
        epoch, index = place
        rng = None if self.seed is None else np.random.default_rng([self.seed, 1 + epoch, index])
        example = self.scenes[index]
        return {"name": example.name, **self.task.prepare(example, rng)}


def scene_loader(
    prepared: PreparedScenes, sampler: Sampler[Place], *, batch_size: int, workers: int, pin: bool
) -> DataLoader[Prepared]:
    """Return a loader of batches of prepared scenes in the order of a sampler.

    Args:
        prepared: the scenes.
        sampler: the order.
        batch_size: scenes per batch.
        workers: processes that prepare scenes; 0 = the calling process.
        pin: whether batches are stored in page-locked memory, for faster copies to a GPU.
    """
    return DataLoader(
        prepared,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_alone,
        generator=torch.Generator().manual_seed(0),
    )


def _alone(worker: int) -> None:
    # OpenCV's threads do not survive a fork, and the workers already use all cores
    cv2.setNumThreads(0)
