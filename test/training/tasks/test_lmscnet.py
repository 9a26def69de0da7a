"""Training task of LMSCNet: stereo occupancy, targets at every scale, losses, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.scenes import GRID, scene
from helpers.walls import matchable

from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.comparison.lmscnet.config import LmscNetConfig
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.task import Task, collate
from occdepth_ros.training.tasks.lmscnet import LmscNetTask

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = LmscNetConfig(grid=GRID, head=4)
SCALED = {"target_2": 2, "target_4": 4, "target_8": 8}


def test_a_matched_wall_is_the_input() -> None:
    prepared = LmscNetTask(CONFIG).prepare(matchable(), None)
    assert set(prepared) == {"occupancy", "target"}
    assert prepared["occupancy"].shape == GRID.size
    x = np.flatnonzero(prepared["occupancy"].numpy().any(axis=(1, 2)))
    assert len(x)
    # the camera is about 0.27 m behind the origin of the grid
    assert set(x) <= set(range(15, 22))
    assert np.array_equal(prepared["target"].numpy(), scene().target)


def test_training_scenes_have_targets_at_every_scale_of_one_window() -> None:
    task = LmscNetTask(CONFIG, window=16, augmentation=Augmentation(mirror=0))
    prepared = task.prepare(matchable(), np.random.default_rng(1))
    x, y = prepared["window"].slices()
    part = scene().target[x, y]
    assert np.array_equal(prepared["target"].numpy(), part)
    for key, factor in SCALED.items():
        assert np.array_equal(prepared[key].numpy(), downsample_labels(np.ascontiguousarray(part), factor))
    assert prepared["occupancy"].shape == GRID.size


def test_mirroring_flips_input_and_target() -> None:
    still = Augmentation(mirror=1.0, brightness=0, contrast=0, saturation=0)
    example = matchable()
    reference = LmscNetTask(CONFIG).prepare(example, None)
    mirror = LmscNetTask(CONFIG, augmentation=still).prepare(example, np.random.default_rng(0))
    assert torch.equal(mirror["target"], reference["target"].flip(1))
    # the other view is matched: about the same voxels from half a metre to the side
    assert mirror["occupancy"].any(dim=2).any(dim=1).nonzero().float().mean() == pytest.approx(
        float(reference["occupancy"].any(dim=2).any(dim=1).nonzero().float().mean()), abs=2
    )


@pytest.mark.parametrize("window", [None, 16])
def test_all_parameters_get_gradients_and_predictions_cover_the_scene(window: int | None) -> None:
    torch.manual_seed(0)
    task = LmscNetTask(CONFIG, window=window)
    assert isinstance(task, Task)
    rng = np.random.default_rng(0)
    terms = task.losses(collate([task.prepare(matchable(i), rng) for i in range(2)]))
    assert set(terms) == {f"cross_entropy_{s}" for s in (1, 2, 4, 8)}
    sum(terms.values(), torch.zeros(())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.network.parameters())
    task.network.eval()
    batch = collate([task.prepare(matchable(), None)])
    assert set(task.losses(batch)) == {"cross_entropy_1"}
    with torch.inference_mode():
        labels = task.predict(batch)
    assert labels.shape == batch["target"].shape
    assert labels.dtype == torch.uint8


def test_other_grids_are_refused() -> None:
    with pytest.raises(GridError, match="completes"):
        LmscNetTask(CONFIG).prepare(scene(grid=VoxelGrid((0.0, 0.0, 0.0), (16, 16, 16), 0.2)), None)


@pytest.mark.parametrize("size", [4, 20, 64])
def test_windows_that_do_not_fit_are_refused(size: int) -> None:
    with pytest.raises(GridError, match="window"):
        LmscNetTask(CONFIG, window=size).prepare(matchable(), np.random.default_rng(0))
