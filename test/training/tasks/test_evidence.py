"""Training tasks of AICNet and JS3C-Net: the matched surface, targets, losses, gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.scenes import GRID, scene
from helpers.walls import matchable

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.config import read_recipe
from occdepth_ros.training.losses.class_weights import SEMANTIC_KITTI_VOXELS
from occdepth_ros.training.task import Task, collate
from occdepth_ros.training.tasks.aicnet import AicNetOptions, AicNetTask
from occdepth_ros.training.tasks.evidence import EvidenceOptions
from occdepth_ros.training.tasks.js3cnet import Js3cNetOptions, Js3cNetTask
from occdepth_ros.training.tasks.lmscnet import LmscNetOptions

pytestmark = pytest.mark.usefixtures("one_thread")

TERMS = {"aicnet": {"cross_entropy"}, "js3cnet": {"completion", "points", "interaction"}}
FAMILIES = pytest.mark.parametrize("family", list(TERMS))


def task_of(family: str, window: int | None = None, mirror: float = 0.0) -> AicNetTask | Js3cNetTask:
    torch.manual_seed(0)
    still = Augmentation(mirror=mirror, brightness=0, contrast=0, saturation=0)
    if family == "aicnet":
        return AicNetTask(AicNetConfig(grid=GRID, feature=4), augmentation=still, window=window)
    config = Js3cNetConfig(grid=GRID, widths=(4, 6, 8), feature=4)
    return Js3cNetTask(config, augmentation=still, window=window)


@FAMILIES
def test_a_matched_wall_is_the_input(family: str) -> None:
    prepared = task_of(family).prepare(matchable(), None)
    x = torch.unravel_index(prepared["surface"].voxel, GRID.size)[0]
    assert len(x)
    assert 15 <= int(x.min()) <= int(x.max()) <= 22
    assert np.array_equal(prepared["target"].numpy(), scene().target)


@FAMILIES
def test_windows_crop_only_the_target(family: str) -> None:
    prepared = task_of(family, window=16).prepare(matchable(), np.random.default_rng(1))
    x, y = prepared["window"].slices()
    assert np.array_equal(prepared["target"].numpy(), scene().target[x, y])
    assert np.array_equal(prepared["ground_truth"].numpy(), scene().target)


@FAMILIES
def test_mirroring_flips_surface_and_target(family: str) -> None:
    reference = task_of(family).prepare(matchable(), None)
    mirror = task_of(family, mirror=1.0).prepare(matchable(), np.random.default_rng(0))
    assert torch.equal(mirror["target"], reference["target"].flip(1))
    x = [p["surface"].points[:, 0].median() for p in (reference, mirror)]
    assert float(x[0]) == pytest.approx(float(x[1]), abs=2)


@FAMILIES
@pytest.mark.parametrize("window", [None, 16])
def test_all_parameters_get_gradients_and_predictions_cover_the_scene(family: str, window: int | None) -> None:
    task = task_of(family, window)
    assert isinstance(task, Task)
    rng = np.random.default_rng(0)
    terms = task.losses(collate([task.prepare(matchable(i), rng) for i in range(2)]))
    assert set(terms) == TERMS[family]
    sum(terms.values(), torch.zeros(())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.network.parameters())
    task.network.eval()
    batch = collate([task.prepare(matchable(i), None) for i in range(2)])
    with torch.inference_mode():
        labels = task.predict(batch)
    assert labels.shape == batch["target"].shape
    assert labels.dtype == torch.uint8


@FAMILIES
def test_a_single_scene_can_be_overfitted(family: str) -> None:
    task = task_of(family)
    batch = collate([task.prepare(matchable(), np.random.default_rng(0))])
    optimizer = torch.optim.Adam(task.network.parameters(), 2e-2)
    losses = []
    for _ in range(15):
        loss = sum(task.losses(batch).values(), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_point_labels_are_those_of_their_voxels() -> None:
    """Point labels come from the whole ground truth, with and without a window."""
    task = task_of("js3cnet", window=16)
    batch = collate([task.prepare(matchable(), np.random.default_rng(0))])
    surface = batch["surface"][0]
    named = batch["ground_truth"][0].flatten()[surface.voxel].long()
    assert len(named.unique()) > 1

    class Knowing(torch.nn.Module):
        def forward(self, surface, window=None, *, interact=False):  # type: ignore[no-untyped-def]
            out = reference(surface, window, interact=interact)
            right = torch.nn.functional.one_hot(named.clamp_max(19), 20) * 50.0
            return type(out)(out.completion, right, -right)

    reference, task.network = task.network, Knowing()
    terms = task.losses(batch)
    assert float(terms["points"]) == pytest.approx(0, abs=1e-5)
    assert float(terms["interaction"]) > 10


@FAMILIES
def test_a_scene_without_matches_trains_the_volume(family: str) -> None:
    task = task_of(family)
    example = scene(3)
    batch = collate([task.prepare(example, None)])
    surface = batch["surface"][0]
    few = type(surface)(surface.image, surface.depth, surface.points[:1], surface.voxel[:1], surface.pixel[:1])
    for kept in (few, type(surface)(*few_of(few))):
        terms = task.losses({**batch, "surface": [kept]})
        assert all(term.isfinite() for term in terms.values())


def few_of(surface) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    """The parts of a surface without any point."""
    return [surface.image, surface.depth, surface.points[:0], surface.voxel[:0], surface.pixel[:0]]


@FAMILIES
def test_other_grids_are_refused(family: str) -> None:
    with pytest.raises(GridError, match="completes"):
        task_of(family).prepare(scene(grid=VoxelGrid((0.0, 0.0, 0.0), (16, 16, 16), 0.2)), None)


@FAMILIES
def test_recipes_select_the_family(family: str) -> None:
    changes = [f"family={family}", "task={}", "task.network.grid.size=[32,32,16]", "task.window=16"]
    options = read_recipe("tiny", changes).task_options()
    task = options.build()
    assert (options.model, task.window) == (f"{family}-stereo", 16)  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", [AicNetOptions, Js3cNetOptions, LmscNetOptions])
def test_heads_are_initialized_with_the_class_frequencies(options: type[EvidenceOptions]) -> None:
    configured: Any = replace(options(), frequencies=True)
    task = configured.build()
    share = SEMANTIC_KITTI_VOXELS[0] / sum(SEMANTIC_KITTI_VOXELS)
    for head in task.heads():
        assert head.bias is not None
        first = head.bias.view(20, -1).softmax(0)[0]  # one bias for every fine voxel of an output
        assert torch.allclose(first, torch.full_like(first, share), rtol=1e-4)
