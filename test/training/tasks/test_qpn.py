"""Training task of the query proposal network: loss, targets, augmentation, and a step that reduces the loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.scenes import GRID, scene

from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.errors import GridError, RecipeError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.monoocc.proposals.stereo import StereoProposals
from occdepth_ros.models.qpn.config import QpnConfig
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.config import Recipe, read_recipe
from occdepth_ros.training.losses.proposals import proposal_loss
from occdepth_ros.training.task import Task, collate
from occdepth_ros.training.tasks.qpn import QpnOptions, QpnTask

pytestmark = pytest.mark.usefixtures("one_thread")

STILL = Augmentation(mirror=0.0, brightness=0.0, contrast=0.0, saturation=0.0)


def options(**changes: Any) -> QpnOptions:
    return replace(QpnOptions(QpnConfig(grid=GRID), STILL), **changes)


def test_the_loss_is_a_mean_over_labelled_voxels() -> None:
    torch.manual_seed(0)
    logits = {s: torch.randn(2, 2, 8 // s, 8 // s, 8 // s) for s in (2, 4)}
    targets = {s: torch.randint(0, 20, v[:, 0].shape, dtype=torch.uint8) for s, v in logits.items()}
    for target in targets.values():
        target[:, 0], target[:, 1] = 255, 0
    terms = proposal_loss(logits, targets, alpha=0.7)
    for scale, factor in ((2, 1.0), (4, 0.9)):
        labelled = targets[scale] != 255
        ground_truth = (targets[scale][labelled] > 0).long()
        each = F.cross_entropy(logits[scale].movedim(1, -1)[labelled], ground_truth, reduction="none")
        assert terms[scale].item() == pytest.approx(
            factor * (each * torch.tensor([0.3, 0.7])[ground_truth]).mean().item()
        )


def test_the_loss_without_labels_is_zero() -> None:
    terms = proposal_loss({2: torch.randn(1, 2, 2, 2, 2)}, {2: torch.full((1, 2, 2, 2), 255, dtype=torch.uint8)})
    assert terms[2].item() == 0


def test_training_input_equals_the_input_at_inference() -> None:
    example = scene()
    task = QpnTask(options())
    assert isinstance(task, Task)
    prepared = task.prepare(example, None)
    occupancy = StereoProposals().measure(example.left, example.right, example.rig, example.grid)
    assert np.array_equal(prepared["occupancy"].numpy(), occupancy)
    half = downsample_labels(example.target, 2)
    assert np.array_equal(prepared["target"].numpy() == 1, (half > 0) & (half < 255))
    assert np.array_equal(prepared["target"].numpy() == 255, half == 255)
    assert set(prepared) == {"occupancy", "target"}
    assert set(task.prepare(example, np.random.default_rng(0))) == {"occupancy", "target", "target_4", "target_8"}


def test_a_shifted_grid_shifts_input_and_ground_truth() -> None:
    example = scene()
    task = QpnTask(options(shift=2))
    drawn = [task.prepare(example, np.random.default_rng(seed)) for seed in range(6)]
    assert len({tuple(d["target"].flatten().tolist()) for d in drawn}) > 1
    assert all((d["occupancy"] <= 1).all() and d["target"].shape == (16, 16, 8) for d in drawn)


def test_training_uses_a_window_of_columns_and_validation_the_grid() -> None:
    whole = QpnTask(options()).prepare(scene(), None)
    task = QpnTask(options(window=16))
    part = task.prepare(scene(), np.random.default_rng(3))
    assert part["occupancy"].shape == (16, 16, 16) and part["target_8"].shape == (2, 2, 2)
    places = [(x, y) for x in range(0, 24, 8) for y in range(0, 24, 8)]
    assert any(
        torch.equal(part["occupancy"], whole["occupancy"][x : x + 16, y : y + 16])
        and torch.equal(part["target"], whole["target"][x // 2 : x // 2 + 8, y // 2 : y // 2 + 8])
        for x, y in places
    )
    assert task.prepare(scene(), None)["occupancy"].shape == (32, 32, 16)


def test_other_grids_are_refused() -> None:
    with pytest.raises(GridError, match="the origin is arbitrary"):
        QpnTask(QpnOptions(QpnConfig(grid=VoxelGrid((0, 0, 0), (16, 16, 8), 0.2)), STILL)).prepare(scene(), None)


@pytest.mark.parametrize("heads", [(2, 4, 8), (2,)])
def test_a_step_changes_every_parameter_and_reduces_the_loss(heads: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    task = QpnTask(options(network=QpnConfig(grid=GRID, heads=heads)))
    batch = collate([task.prepare(scene(seed), np.random.default_rng(0)) for seed in (0, 1)])
    optimizer = torch.optim.Adam(task.network.parameters(), 3e-3)
    totals = []
    for _ in range(12):
        terms = task.losses(batch)
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert set(terms) == {f"cross_entropy_{s}" for s in heads}
    assert totals[-1] < 0.8 * totals[0]
    assert [n for n, p in task.network.named_parameters() if p.requires_grad and p.grad is None] == []
    predicted = task.predict(batch)
    assert predicted.shape == batch["target"].shape and predicted.dtype == torch.uint8 and predicted.max() <= 1


def test_the_recipe_is_complete() -> None:
    recipe = read_recipe("qpn")
    task = recipe.task_options().build()
    assert recipe.task_options().model == "qpn" and isinstance(task, QpnTask)
    assert task.options.alpha == 0.54


@pytest.mark.parametrize("wrong", [{"alpha": 1.0}, {"min_points": 0}, {"shift": -1}, {"window": 12}])
def test_invalid_numbers_in_a_recipe_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=f"task.{next(iter(wrong))}"):
        Recipe(family="qpn", task=wrong)
