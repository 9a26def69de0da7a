"""Training task of occdepth-edge-sfa: slabs and shifts, targets, losses, gradients."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from helpers.scenes import GRID, HEIGHT, WIDTH, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge import predictor
from occdepth_ros.models.edge.evidence import FINE, StereoEvidence, folded, unfolded
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.images import ImageFit
from occdepth_ros.training.augmentation import Augmentation, jitter, shifted
from occdepth_ros.training.losses.edge_terms import occupancy_terms
from occdepth_ros.training.task import Task, collate
from occdepth_ros.training.tasks.edge import EdgeOptions, EdgeTask
from occdepth_ros.training.tasks.edge_scenes import crop, slab, without_hidden_free_space

SMALL: dict[str, Any] = {
    "image": [HEIGHT, WIDTH],
    "feature": 8,
    "pyramid": 8,
    "stages": [8, 8, 8],
    "depths": [0, 1, 1],
    "hidden": 8,
}
TERMS = {"occupancy", "overlap", "classes", "depth", "pixels"}
STILL = Augmentation(mirror=0, brightness=0, contrast=0, saturation=0)

pytestmark = pytest.mark.usefixtures("one_thread")


def task(**changes: Any) -> EdgeTask:
    """A small task in training mode."""
    torch.manual_seed(0)
    made = EdgeOptions(**{"network": SMALL, "imagenet": False, "freeze_encoder": False, **changes}).build()
    made.network.train()
    return made


@cache
def numbered() -> SceneExample:
    """A scene in which neighbouring voxels differ, so that a wrong position is detected."""
    target = (np.arange(GRID.count) % 251 % 20).astype(np.uint8).reshape(GRID.size)
    return replace(scene(), target=target, seen=target % 2 == 0)


# ---- slabs and shifts


@settings(max_examples=40, deadline=None)
@given(columns=st.integers(1, 48), seed=st.integers(0, 2**31))
def test_a_slab_is_a_crop_at_the_same_position(columns: int, seed: int) -> None:
    whole = numbered()
    part = slab(whole, columns, np.random.default_rng(seed))
    assert part.grid.size == (GRID.size[0], min(columns, GRID.size[1]), GRID.size[2])
    first = round((part.grid.origin[1] - whole.grid.origin[1]) / GRID.resolution)
    assert 0 <= first <= GRID.size[1] - part.grid.size[1]
    np.testing.assert_array_equal(part.target, whole.target[:, first : first + part.grid.size[1]])
    assert part.seen is not None and whole.seen is not None
    np.testing.assert_array_equal(part.seen, whole.seen[:, first : first + part.grid.size[1]])
    index, inside = whole.grid.index_of(part.grid.centers())
    assert inside.all()
    np.testing.assert_array_equal(whole.target[tuple(index.T)], part.target.flatten())


@settings(max_examples=40, deadline=None)
@given(steps=st.tuples(*[st.integers(-40, 40)] * 3))
def test_a_shift_moves_the_grid_and_not_the_world(steps: tuple[int, int, int]) -> None:
    whole = numbered()
    moved = shifted(whole, steps)
    assert moved.grid.size == whole.grid.size and moved.rig is whole.rig
    index, inside = whole.grid.index_of(moved.grid.centers())
    labels = moved.target.flatten()
    np.testing.assert_array_equal(labels[inside], whole.target[tuple(index[inside].T)])
    assert (labels[~inside] == UNKNOWN).all()
    back = shifted(moved, [-s for s in steps])
    kept = back.target != UNKNOWN
    np.testing.assert_array_equal(back.target[kept], whole.target[kept])
    assert kept.sum() == inside.sum()
    np.testing.assert_allclose(back.grid.origin, whole.grid.origin, atol=1e-9)


def test_random_slabs_reach_both_edges() -> None:
    rng = np.random.default_rng(0)
    origins = {round(slab(numbered(), 30, rng).grid.origin[1], 6) for _ in range(40)}
    assert len(origins) == 3 and min(origins) == pytest.approx(GRID.origin[1])


# ---- prepared scenes


def test_prepared_scenes_have_the_documented_shapes() -> None:
    made = task()
    assert isinstance(made, Task)
    prepared = made.prepare(scene(), None)
    assert prepared["images"].shape == (2, 3, HEIGHT, WIDTH)
    assert prepared["target"].shape == GRID.size and prepared["target"].dtype == torch.uint8
    assert prepared["depth"].shape == prepared["semantics"].shape == (HEIGHT, WIDTH)
    assert prepared["mirror"] is False and prepared["geometry"].size == (16, 16, 8)
    np.testing.assert_array_equal(prepared["semantics"], scene().semantics)
    np.testing.assert_array_equal(prepared["depth"], scene().depth)


def test_augmentation_depends_on_the_generator_alone() -> None:
    made = task(columns=16, shift=(4, 4, 1))
    first, second, other = (made.prepare(scene(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first["target"].shape == (32, 16, 16)
    torch.testing.assert_close(first["images"], second["images"])
    assert torch.equal(first["target"], second["target"])
    assert not torch.equal(first["images"], other["images"])
    torch.testing.assert_close(first["geometry"].pixels, second["geometry"].pixels)


def test_matching_uses_images_without_jitter() -> None:
    made = task(columns=None, shift=(0, 0, 0), augmentation=replace(STILL, brightness=0.4))
    reference, changed = made.prepare(scene(), None), made.prepare(scene(), np.random.default_rng(1))
    assert not torch.equal(reference["images"], changed["images"])
    assert torch.equal(reference["stereo"].disparity, changed["stereo"].disparity)
    assert torch.equal(reference["stereo"].hit_voxels, changed["stereo"].hit_voxels)


def test_ground_truth_of_large_images_is_resized_to_the_network() -> None:
    small = scene()
    doubled: dict[str, Any] = {
        name: np.repeat(np.repeat(getattr(small, name), 2, 0), 2, 1) for name in ("left", "right", "depth")
    }
    semantics = np.repeat(np.repeat(np.asarray(small.semantics), 2, 0), 2, 1)
    large = replace(small, rig=small.rig.scaled(2 * WIDTH, 2 * HEIGHT), semantics=semantics, **doubled)
    prepared = task().prepare(large, None)
    np.testing.assert_array_equal(prepared["semantics"], small.semantics)
    np.testing.assert_array_equal(prepared["depth"], small.depth)


def test_a_slab_keeps_the_stereo_evidence_of_the_whole_grid() -> None:
    whole = StereoEvidence(scene().rig, GRID, ImageFit.between((HEIGHT, WIDTH), (HEIGHT, WIDTH)))
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    stereo = whole.measure(left, np.roll(left, -8, 1))
    assert len(stereo.hit_voxels) > 20
    part = slab(scene(), 16, rng).grid
    kept = crop(stereo, GRID, part)
    volume, smaller = torch.zeros(GRID.count), torch.zeros(part.count)
    volume[stereo.hit_voxels], smaller[kept.hit_voxels] = stereo.hits, kept.hits
    first = part.offset_to(GRID)[1]
    assert torch.equal(volume.view(GRID.size)[:, first : first + 16].flatten(), smaller) and smaller.any()
    assert torch.equal(kept.ground, stereo.ground[:, first : first + 16])
    assert kept.ground_seen.shape == (32, 16) and torch.equal(kept.disparity, stereo.disparity)


def test_hidden_free_space_is_a_target_only_inside_the_view() -> None:
    example = scene()
    fit = ImageFit.between((HEIGHT, WIDTH), (HEIGHT, WIDTH))
    geometry = EdgeGeometry.of_rig(task().config, fit.rig(example.rig), GRID)
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.choice(np.array([EMPTY, 1, UNKNOWN], np.uint8), GRID.size))
    seen = torch.from_numpy(rng.random(GRID.size) < 0.5)
    learned = without_hidden_free_space(target, seen, geometry)
    shown = unfolded(geometry.visible[0][None].expand(FINE, -1).contiguous(), geometry.size)
    dropped = (target == EMPTY) & ~seen & ~shown
    assert dropped.any() and (learned[dropped] == UNKNOWN).all() and torch.equal(learned[~dropped], target[~dropped])
    assert shown.float().mean() > 0.1


def test_augmentation_simulates_another_camera() -> None:
    still = replace(STILL, gamma=0.3, tint=0.1, exposure=0.05)
    grey = torch.arange(256, dtype=torch.uint8).expand(2, 3, 4, 256).contiguous()
    changed = jitter(grey, still, np.random.default_rng(0))
    assert changed.shape == grey.shape and changed.dtype == torch.uint8
    steps = changed.float().diff(dim=3)
    assert (steps >= 0).all() and not torch.equal(changed, grey)
    middle = changed[:, :, 0, 128].float()
    assert (middle[0] / middle[1]).std() < 0.02 and middle[0].std() > 1
    assert torch.equal(jitter(grey, STILL, np.random.default_rng(0)), grey)
    uneven = [jitter(grey, replace(STILL, shade=0.2, grain=0.1), np.random.default_rng(seed)) for seed in range(8)]
    assert all(torch.equal(*views) for views in uneven)
    spreads = [float((views[0, :, :, 100:].float() / grey[0, :, :, 100:]).std()) for views in uneven]
    assert 0.01 < max(spreads) < 0.5 and min(spreads) < 0.01
    noisy = [jitter(grey, replace(STILL, noise=0.03), np.random.default_rng(seed)) for seed in range(8)]
    shares = [float((image.float() - grey.float()).std()) / 255 for image in noisy]
    assert any(share > 0 for share in shares) and any(share == 0 for share in shares) and max(shares) < 0.031
    stripes = grey % 2 * 255
    blurred = jitter(stripes, replace(STILL, blur=1.0), np.random.default_rng(0))
    assert blurred.float().std() < stripes.float().std()


def test_validation_equals_the_predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    made = task()
    with torch.no_grad():
        made._net.head.occupancy.bias.fill_(-1.0)  # type: ignore[union-attr]
    monkeypatch.setattr(predictor, "load_network", lambda *_: copy.deepcopy(made._net).eval())
    live = predictor.EdgePredictor(name="occdepth-edge-sfa", device="cpu", precision="float32")
    live.config = made.config
    live.calibrate(scene().rig, GRID)
    found = live.infer(scene().left, scene().right)
    made.network.eval()
    with torch.inference_mode():
        labels = made.predict(collate([made.prepare(scene(), None)]))[0].numpy()
    assert len(np.unique(labels)) > 2
    # the predictor folds the normalization layers, which changes rounding; its free voxels without a match are unknown
    predicted = found.labels.reshape(GRID.size)
    decided = predicted != UNKNOWN
    assert decided.mean() > 0.5 and (labels[~decided] == 0).mean() > 0.999
    assert (predicted[decided] == labels[decided]).mean() > 0.999


def test_scenes_without_depth_and_classes_have_unknown_targets() -> None:
    prepared = task().prepare(replace(scene(), depth=None, semantics=None), None)
    assert prepared["depth"].isnan().all() and (prepared["semantics"] == UNKNOWN).all()


def test_grids_with_odd_sizes_are_refused() -> None:
    grid = VoxelGrid(GRID.origin, (32, 32, 12), 0.2)
    with pytest.raises(GridError, match="in sizes that 8 divides"):
        task().prepare(replace(scene(), grid=grid, target=scene().target[:, :, :12].copy(), seen=None), None)


# ---- losses


def test_every_trainable_parameter_gets_a_gradient() -> None:
    made = task()
    scenes = (scene(), scene(1))
    # independent noise has no matches, and the layers of the matched depth no gradient
    pairs = [replace(example, right=np.roll(example.left, -6, 1)) for example in scenes]
    terms = made.losses(collate([made.prepare(pair, None) for pair in pairs]))
    assert set(terms) == TERMS
    assert all(term.ndim == 0 and term.isfinite() and term > 0 for term in terms.values())
    sum(terms.values()).backward()  # type: ignore[union-attr]
    idle = [n for n, p in made.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_a_frozen_encoder_does_not_change() -> None:
    made = task(freeze_encoder=True)
    before = {name: tensor.clone() for name, tensor in made.network.state_dict().items()}
    sum(made.losses(collate([made.prepare(scene(), None)])).values()).backward()  # type: ignore[union-attr]
    frozen = [n for n, p in made.network.named_parameters() if not p.requires_grad]
    assert frozen and all(name.startswith("picture_net.encoder.") for name in frozen)
    assert all(p.grad is None for p in made.network.parameters() if not p.requires_grad)
    after = made.network.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    # the statistics of the other normalization layers have changed, those of the encoder have not
    assert changed and not any(name.startswith("picture_net.encoder.") for name in changed)


DEGENERATE = {
    "all unknown": (np.full(GRID.size, UNKNOWN, np.uint8), {"classes", "occupancy", "overlap"}),
    "nothing occupied": (np.zeros(GRID.size, np.uint8), {"classes"}),
    "all occupied": (np.full(GRID.size, 9, np.uint8), set()),
}


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("bare", [False, True])
def test_degenerate_scenes_give_finite_losses_and_gradients(kind: str, bare: bool) -> None:
    made = task()
    target, zero = DEGENERATE[kind]
    example = replace(scene(), target=target, seen=None)
    if bare:
        example = replace(example, depth=None, semantics=None)
        zero = zero | {"depth", "pixels"}
    terms = made.losses(collate([made.prepare(example, None)]))
    assert {name for name, term in terms.items() if term == 0} == zero
    sum(terms.values()).backward()  # type: ignore[union-attr]
    grads = [p.grad for p in made.network.parameters() if p.grad is not None]
    assert grads and all(grad.isfinite().all() for grad in grads)


def test_images_without_a_match_give_finite_losses() -> None:
    made = task()
    blank = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    prepared = made.prepare(replace(scene(), left=blank, right=blank), None)
    assert not prepared["stereo"].disparity.any()
    assert all(term.isfinite() for term in made.losses(collate([prepared])).values())


def test_losses_of_a_batch_are_the_mean_of_its_scenes() -> None:
    made = task()
    made.network.eval()
    # the pixel loss needs the training mode of the network, not of its normalization layers
    made.network.training = True
    scenes = [made.prepare(scene(seed), None) for seed in (0, 1)]
    both = made.losses(collate(scenes))
    each = [made.losses(collate([one])) for one in scenes]
    for name in ("occupancy", "overlap", "classes", "depth"):
        torch.testing.assert_close(both[name], (each[0][name] + each[1][name]) / 2)


def test_mirrored_scenes_are_scored_against_the_mirrored_ground_truth() -> None:
    made = task(columns=None, shift=(0, 0, 0), augmentation=replace(STILL, mirror=1.0))
    reference, mirror = made.prepare(scene(), None), made.prepare(scene(), np.random.default_rng(0))
    assert mirror["mirror"] is True and torch.equal(mirror["target"], reference["target"])
    made.network.eval()
    made.network.training = True
    batch = collate([mirror])
    occupancy, overlap = occupancy_terms(
        made._forward(batch, 0, mirrored=True).occupancy[0], folded(reference["target"].flip(1).flatten(), (16, 16, 8))
    )
    terms, weights = made.losses(batch), made.options.losses
    torch.testing.assert_close(terms["occupancy"], occupancy * weights.occupancy)
    torch.testing.assert_close(terms["overlap"], overlap * weights.overlap)
    assert not torch.isclose(terms["occupancy"], made.losses(collate([reference]))["occupancy"])


def test_a_single_scene_can_be_overfitted() -> None:
    made = task()
    batch = collate([made.prepare(scene(), None)])
    optimizer = torch.optim.Adam([p for p in made.network.parameters() if p.requires_grad], 2e-2)
    first = last = 0.0
    for step in range(30):
        terms = made.losses(batch)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = float(loss.detach())
        first = first or last
        assert np.isfinite(last), step
    assert last < 0.5 * first
    with torch.inference_mode():
        labels = made.predict(batch)
    target = batch["target"]
    labelled = target != UNKNOWN
    assert labels.shape == target.shape and labels.dtype == torch.uint8
    found, ground_truth = (labels > 0)[labelled], (target > 0)[labelled]
    assert (found & ground_truth).sum() > 0.7 * (found | ground_truth).sum()
    both = labelled & (labels > 0) & (target > 0)
    assert (labels == target)[both].float().mean() > 0.7
