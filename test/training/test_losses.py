"""Losses: stored values of the published ones, independent re-derivations, and degenerate targets."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occdepth_ros.camera import PinholeCamera
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import DepthBins
from occdepth_ros.stereo.projection import project_voxels
from occdepth_ros.training.losses.affinity import SoftCounts, geometric_affinity, semantic_affinity
from occdepth_ros.training.losses.class_weights import class_weights, occupancy_weights
from occdepth_ros.training.losses.cross_entropy import class_cross_entropy, occupancy_cross_entropy, occupied
from occdepth_ros.training.losses.depth import NO_BIN, depth_bins, depth_loss
from occdepth_ros.training.losses.frustum import frustum_loss, frustum_tiles, share_divergence
from occdepth_ros.training.losses.relation import relation_loss, relation_targets

pytestmark = pytest.mark.usefixtures("one_thread")

AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
SIZE = (4, 4, 2)


@pytest.fixture(scope="module")
def parts(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "occdepth_parts.npz") as stored:
        return {key: stored[key] for key in stored.files if not key.startswith(("pix_", "fov_", "tartan"))}


@pytest.mark.golden
def test_class_weights_equal_the_published_ones(parts: dict[str, np.ndarray]) -> None:
    assert np.allclose(class_weights(20), parts["class_weights"], rtol=1e-6)
    assert np.allclose(occupancy_weights(20), parts["class_weights_occ"], rtol=1e-6)


@pytest.mark.golden
def test_volume_losses_equal_the_published_ones(parts: dict[str, np.ndarray]) -> None:
    logits = torch.from_numpy(parts["loss_logits"])
    target = torch.from_numpy(parts["loss_target"].astype(np.uint8))
    counts = SoftCounts.of(logits.softmax(dim=1), target)
    found = [
        class_cross_entropy(logits, target, class_weights(20)),
        semantic_affinity(counts),
        geometric_affinity(counts),
    ]
    stored = [float(parts[key]) for key in ("loss_ce", "loss_sem", "loss_geo")]
    assert [float(value) for value in found] == pytest.approx(stored, rel=2e-6)


@pytest.mark.golden
def test_relation_loss_and_targets_equal_the_published_ones(parts: dict[str, np.ndarray]) -> None:
    labels = torch.from_numpy(parts["label_ds8"])[None]
    assert tuple(parts["cp_shape"]) == labels.shape[1:]
    for count in (2, 4):
        targets = relation_targets(labels, count)[0].numpy()
        assert np.array_equal(np.packbits(targets), parts[f"cp{count}"])
    found = relation_loss(torch.from_numpy(parts["rel_logits"]), torch.from_numpy(parts["rel_cm"].astype(bool)))
    assert float(found) == pytest.approx(float(parts["loss_rel"]), rel=2e-6)


@pytest.mark.golden
def test_share_divergence_equals_the_published_one(parts: dict[str, np.ndarray]) -> None:
    found = share_divergence(torch.from_numpy(parts["kl_p"]), torch.from_numpy(parts["kl_q"]))
    assert float(found) == pytest.approx(float(parts["kl"]), rel=2e-6)


@pytest.mark.golden
def test_depth_loss_and_targets_equal_the_published_ones(parts: dict[str, np.ndarray]) -> None:
    bins = depth_bins(torch.from_numpy(parts["depth_map"][0]), (47, 153), DepthBins())
    stored = parts["depth_onehot_argmax"].astype(np.int64)
    valid = bins[0].numpy() != NO_BIN
    # without a bin, the stored argmax is 0 or -1
    # a depth on the border of two bins may fall on either side
    assert (bins[0].numpy()[valid] == stored[valid]).mean() > 0.999
    assert (stored[~valid] <= 0).all()
    assert 0 < valid.sum() < valid.size
    found = depth_loss(torch.from_numpy(parts["depth_pred"][0]), bins)
    assert float(found) == pytest.approx(float(parts["loss_depth"]), rel=2e-6)


def reference_relations(labels: np.ndarray) -> np.ndarray:
    """The definition, evaluated pair by pair."""
    x, y, z = labels.shape
    supers = list(itertools.product(range(x // 2), range(y // 2), range(z // 2)))
    out = np.zeros((4, labels.size, len(supers)), bool)
    for n, own in enumerate(labels.ravel().tolist()):
        for m, (i, j, k) in enumerate(supers):
            for other in labels[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2].ravel().tolist():
                if 255 in (own, other):
                    continue
                kind = (2 if own == 0 else 0) if own == other else (3 if 0 in (own, other) else 1)
                out[kind, n, m] = True
    return out


@settings(max_examples=30, deadline=None)
@given(labels=arrays(np.uint8, (4, 3, 5), elements=st.sampled_from([0, 0, 1, 2, 19, 255])))
def test_relations_follow_their_definition(labels: np.ndarray) -> None:
    assert np.array_equal(relation_targets(torch.from_numpy(labels)[None])[0].numpy(), reference_relations(labels))


def test_relations_are_two_or_four() -> None:
    with pytest.raises(ValueError, match="2 or 4"):
        relation_targets(torch.zeros(1, 2, 2, 2, dtype=torch.uint8), 3)


def camera(width: int = 80, height: int = 40) -> PinholeCamera:
    return PinholeCamera(np.array([[50.0, 0, 40, 0], [0, 50, 20, 0], [0, 0, 1, 0]]), width, height)


def test_tiles_contain_the_voxels_that_project_into_them() -> None:
    grid = VoxelGrid((-1.0, -3.2, -1.6), (32, 32, 16), 0.2)
    right = AXES.copy()
    right[0, 3] = -0.5
    first, second = frustum_tiles(grid, [(camera(), AXES), (camera(), right)]).numpy()
    for tiles, pose in ((first, AXES), (second, right)):
        found = project_voxels(grid, camera(), pose)
        row, column = (np.where(found.visible, a, 0) for a in (found.row, found.column))
        exact = np.where(found.visible, row * 8 // 40 * 8 + column * 8 // 80, 64).reshape(grid.size)
        if tiles is second:
            exact[exact == first] = 64
        # float32 can round a pixel differently
        assert (tiles == exact).mean() > 0.999
    assert (second != 64).any()


def test_frustum_loss_follows_its_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, *SIZE, generator=generator)
    target = torch.randint(0, 3, (2, *SIZE), generator=generator).to(torch.uint8)
    target[0, 0] = 255
    tiles = torch.randint(0, 5, (2, 2, *SIZE), generator=generator).to(torch.int16)
    tiles[:, 1][tiles[:, 1] == tiles[:, 0]] = 4
    p = logits.softmax(dim=1)
    expected = []
    for tile in range(4):
        inside = (tiles == tile).any(dim=1) & (target != 255)
        share = p.movedim(1, -1)[inside].sum(dim=0)
        share = share / share.sum()
        true = torch.bincount(target[inside].long(), minlength=3) / inside.sum()
        expected.append(sum(q * (q.log() - s.log()) for q, s in zip(true, share, strict=True) if q > 0))
    assert float(frustum_loss(p, target, tiles, 4)) == pytest.approx(float(sum(expected)) / 4, rel=1e-5)


def test_depth_bins_take_the_nearest_of_a_block() -> None:
    depth = torch.full((1, 16, 24), float("nan"))
    depth[0, 0, 0], depth[0, 1, 1] = 10.0, 3.99
    depth[0, 9, 9] = float("inf")
    depth[0, 9, 17], depth[0, 9, 18] = 1.0, 5.0
    depth[0, 0, 17] = 53.9
    assert depth_bins(depth, (2, 3), DepthBins()).tolist() == [[[3, NO_BIN, 103], [NO_BIN, NO_BIN, NO_BIN]]]


def test_linearly_increasing_bins_can_be_supervised() -> None:
    bins = DepthBins(supervised="lid")
    middles = torch.from_numpy(bins.centers().astype(np.float32))
    depth = middles.repeat_interleave(8)[None, None].expand(1, 8, -1)
    assert depth_bins(depth, (1, bins.count), bins)[0, 0].tolist() == list(range(bins.count))


def test_occupancy_keeps_unknown_voxels() -> None:
    assert occupied(torch.tensor([0, 1, 19, 255], dtype=torch.uint8)).tolist() == [0, 1, 1, 255]


def affinities(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    counts = SoftCounts.of(logits.softmax(dim=1), target)
    return semantic_affinity(counts) + geometric_affinity(counts)


def frustum(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    tiles = (torch.arange(target.numel()) % 70).reshape(1, 1, *target.shape[1:])
    return frustum_loss(logits.softmax(dim=1), target, tiles)


def cross_entropies(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    both = occupancy_cross_entropy(logits[:, :2], target, occupancy_weights(20))
    return both + class_cross_entropy(logits, target, class_weights(20))


VOLUME_LOSSES = [affinities, frustum, cross_entropies]


@pytest.mark.parametrize("loss", VOLUME_LOSSES)
@pytest.mark.parametrize("label", [0, 5, 255])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_volume_losses_are_finite_for_targets_of_one_label(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], label: int, scale: float
) -> None:
    logits = torch.randn(1, 20, *SIZE, generator=torch.Generator().manual_seed(0)).mul(scale).requires_grad_()
    value = loss(logits, torch.full((1, *SIZE), label, dtype=torch.uint8))
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if label == 255:
        assert float(value.detach()) == 0.0
        assert not logits.grad.any()


@pytest.mark.parametrize("loss", VOLUME_LOSSES)
def test_volume_losses_are_zero_only_for_the_ground_truth(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    target = (torch.arange(32) % 2).to(torch.uint8).reshape(1, *SIZE)
    ground_truth = torch.nn.functional.one_hot(target.long(), 20).float().movedim(-1, 1) * 30
    assert float(loss(ground_truth, target)) == pytest.approx(0, abs=1e-4)
    assert float(loss(ground_truth.roll(1, dims=4), target)) > 0.1


@pytest.mark.parametrize("holds", [True, False])
def test_relation_loss_is_finite_without_positives_or_negatives(holds: bool) -> None:
    logits = (torch.randn(1, 4, 2, 8, generator=torch.Generator().manual_seed(0)) * 100).requires_grad_()
    targets = torch.zeros(1, 4, 8, 2, dtype=torch.bool)
    targets[:, 1:3] = holds
    value = relation_loss(logits, targets)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_depth_loss_is_finite_without_depth_and_for_wrong_predictions(dtype: torch.dtype) -> None:
    logits = (torch.eye(4)[:, :, None] * 1e4)[None].to(dtype).requires_grad_()  # [1, D = 4, h = 4, w = 1]
    none = depth_loss(logits.softmax(dim=1), torch.full((1, 4, 1), NO_BIN))
    assert float(none.detach()) == 0.0
    wrong = depth_loss(logits.softmax(dim=1), torch.tensor([[[1], [2], [3], [0]]]))
    (none + wrong).backward()
    assert float(wrong.detach()) > 100
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_weights_need_two_classes() -> None:
    assert class_weights(12).tolist() == pytest.approx([0.05] + [1.0] * 11)
    assert occupancy_weights(12).tolist() == pytest.approx([0.05, 2.0])
    with pytest.raises(ModelError, match="cannot be distinguished"):
        class_weights(1)
