"""Training task of MonoOcc: losses against golden values, and a small task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import CheckpointError, RecipeError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.monoocc.config import PRESETS, MonoOccConfig
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.config import read_recipe
from occdepth_ros.training.losses.distillation import channel_divergence, published_divergence
from occdepth_ros.training.losses.monoocc import CLASS_WEIGHTS, LossWeights, pixel_cross_entropy, voxel_losses
from occdepth_ros.training.module import SceneModule
from occdepth_ros.training.task import collate
from occdepth_ros.training.tasks.monoocc import MonoOccOptions, MonoOccTask
from occdepth_ros.training.tasks.monoocc_teacher import load_teacher
from occdepth_ros.training.tasks.monoocc_volume_cache import VolumeCache

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
TINY = MonoOccConfig(
    "tiny",
    "efficientnet-lite0",
    width=192,
    channels=16,
    heads=2,
    points=2,
    hidden=24,
    cross_layers=1,
    self_layers=1,
    late_layers=1,
    columns=32,
    grid=GRID,
)

BIAS = "pts_bbox_head.header.mlp_head.1.bias"

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


@pytest.mark.golden
def test_losses_agree_with_golden_file(golden_dir: Path) -> None:
    with np.load(golden_dir / "monoocc_losses.npz", allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    assert np.allclose(arrays["class_weights"], CLASS_WEIGHTS)
    target = torch.from_numpy(arrays["target"])
    terms = voxel_losses(torch.from_numpy(arrays["pred"]), target, LossWeights())
    expected = {"cross_entropy": "ce", "semantic_affinity": "sem", "geometric_affinity": "geo"}
    for name, key in expected.items():
        assert float(terms[name]) == pytest.approx(float(arrays[key]), rel=2e-5), name
    student, teacher = (torch.from_numpy(arrays[key])[0].flatten(1).T for key in ("student", "teacher"))
    divergence = LossWeights().distillation * published_divergence(student, teacher, target.flatten())
    assert float(divergence) == pytest.approx(float(arrays["distill"]), rel=2e-5)


def test_the_divergence_is_a_kullback_leibler_divergence() -> None:
    student, teacher = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    target = torch.tensor([0, 255, 1, 2, 3, 19])
    same = channel_divergence(teacher.detach() + 3, teacher, target)
    assert float(same) == pytest.approx(0, abs=1e-6)
    loss = channel_divergence(student, teacher, target)
    p, q = teacher[2:].softmax(1), student[2:].softmax(1)
    expected = (p * (p / q).log()).sum(1).mean().detach()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-4)
    loss.backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad[:2].abs().sum() == 0
    assert student.grad[2:].abs().sum() > 0
    nothing = torch.tensor([0, 255, 0, 0, 0, 255])
    assert float(channel_divergence(student, teacher, nothing)) == 0
    assert float(published_divergence(student, teacher, nothing)) == 0


def test_unknown_pixels_are_ignored() -> None:
    logits = torch.randn(1, 20, 2, 2)
    semantics = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    assert float(pixel_cross_entropy(logits, semantics)) == 0
    semantics[0, 0, 0] = 7
    semantics[0, 2, 0] = 0
    expected = -logits[0, :, 0, 0].log_softmax(0)[7]
    assert float(pixel_cross_entropy(logits, semantics)) == pytest.approx(float(expected), rel=1e-5)


def example() -> SceneExample:
    """A textured wall 4 m ahead."""
    height, width = 64, 192
    k = np.array([[0.5 * width, 0, width / 2], [0, 0.5 * width, height / 2], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    right = np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    left = np.hstack([k, np.zeros((3, 1))])
    rig = StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)
    texture = np.random.default_rng(0).integers(0, 256, (height, width + 12, 3), dtype=np.uint8)
    target = np.zeros(GRID.size, np.uint8)
    target[20] = 13
    target[21:] = 255
    semantics = np.full((height, width), 13, np.uint8)
    images = np.ascontiguousarray(texture[:, :width]), np.ascontiguousarray(texture[:, 12:])
    return SceneExample("wall", *images, rig, GRID, target, semantics=semantics)


def test_proposals_of_a_prepared_scene_lie_on_the_wall() -> None:
    prepared = MonoOccTask(TINY).prepare(example(), None)
    assert set(prepared) == {"proposed", "target", "image_s", "references_s"}
    assert prepared["image_s"].shape == (1, 3, 64, 192)
    x = prepared["proposed"].view(16, 16, 8).any(2).any(1).nonzero().flatten().tolist()
    assert set(x) <= {9, 10}
    assert int(prepared["proposed"].sum()) > 20


def test_all_loss_terms_reach_the_network() -> None:
    teacher = MonoOcc(replace(TINY, cameras=2, cross_view=True, semantic=False)).eval().requires_grad_(False)
    task = MonoOccTask(TINY, window=16, teacher=teacher)
    batch = collate([task.prepare(example(), np.random.default_rng(seed)) for seed in (0, 1)])
    terms = task.losses(batch)
    assert set(terms) == {"cross_entropy", "semantic_affinity", "geometric_affinity", "pixels", "distillation"}
    assert all(term.isfinite() and term >= 0 for term in terms.values())
    sum(terms.values(), start=torch.zeros(())).backward()
    names = [n for n, p in task.network.named_parameters() if p.grad is not None and p.grad.any()]
    for part in ("img_backbone", "img_neck", "bev_embed", "cross_transformer_late", "sem_decoder", "header"):
        assert any(part in name for name in names), part
    assert all(p.grad is None for p in teacher.parameters())


def test_a_window_computes_fewer_voxels_and_equal_losses() -> None:
    teacher = MonoOcc(replace(TINY, semantic=False)).eval().requires_grad_(False)
    task = MonoOccTask(replace(TINY, dropout=0.0), window=16, teacher=teacher)
    task.network.eval()
    batch = collate([task.prepare(example(), np.random.default_rng(2))])
    window = batch["window"][0]
    head, inputs = task.network.pts_bbox_head, (batch["references_s"][0], batch["proposed"][0])
    with torch.no_grad():
        found = task.losses(batch)
        volume = task.network.volumes(task.network.features(batch["image_s"][0]), *inputs).last
        theirs = teacher.volumes(teacher.features(batch["image_t"][0]), *inputs).last
        logits, target = window.crop(head.classify(volume)), window.crop(batch["target"][0])
        expected = voxel_losses(logits[None], target[None], LossWeights())
        requested = head.needed(window)
        divergence = channel_divergence(volume[requested], theirs[requested], batch["coarse"][0][requested])
        expected["distillation"] = LossWeights().distillation * divergence
    assert len(requested) < len(volume) / 2
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-3), name


def test_cached_teacher_features_equal_computed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = MonoOcc(replace(TINY, semantic=False)).eval().requires_grad_(False)
    cache = VolumeCache(tmp_path, "a", (TINY.voxels, TINY.channels))
    config = replace(TINY, dropout=0.0)
    reference = Augmentation(brightness=0, contrast=0, saturation=0, mirror=0)
    tasks = [MonoOccTask(config, augmentation=reference, window=16, teacher=teacher, cache=c) for c in (None, cache)]
    tasks[1].network.load_state_dict(tasks[0].network.state_dict())
    found = []
    for task in (*tasks, tasks[1]):
        task.network.eval()
        batch = collate([task.prepare(example(), np.random.default_rng(2))])
        found.append(task.losses(batch)["distillation"])
        if len(found) == 2:
            assert [file.name for file in tmp_path.iterdir()] == ["wall.safetensors"]
            monkeypatch.setattr(teacher, "features", lambda _: pytest.fail("it looked"))
    values = [float(term.detach()) for term in found]
    assert values[1] == values[2] == pytest.approx(values[0], rel=1e-2)
    assert values[0] > 0
    found[2].backward()
    mirrored = MonoOccTask(config, augmentation=replace(reference, mirror=1), teacher=teacher, cache=cache)
    kept = mirrored.prepare(example(), np.random.default_rng(2))["teacher_features"]
    assert kept.voxels is None and kept.path.name == "wall.mirrored.safetensors"


def test_mirrored_scenes_have_no_semantics_and_a_zero_loss() -> None:
    task = MonoOccTask(TINY)
    scenes = [task.prepare(example(), np.random.default_rng(seed)) for seed in range(8)]
    bare = [scene for scene in scenes if (scene["semantics"] == 255).all()]
    assert 0 < len(bare) < 8
    assert float(task.losses(collate(bare[:1]))["pixels"].detach()) == 0


def test_a_single_scene_can_be_overfitted() -> None:
    task = MonoOccTask(replace(TINY, dropout=0.0))
    batch = collate([task.prepare(example(), None)])
    optimizer = torch.optim.Adam([p for p in task.network.parameters() if p.requires_grad], 1e-2)
    totals = []
    for _ in range(25):
        loss = sum(task.losses(batch).values(), start=torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(float(loss))
    assert totals[-1] < 0.5 * totals[0]
    task.network.eval()
    with torch.inference_mode():
        labels = task.predict(batch)
    labelled = batch["target"] != 255
    assert float((labels == batch["target"])[labelled].float().mean()) > 0.9


def test_contradicting_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no network"):
        MonoOccOptions(preset="monoocc-xxl")
    with pytest.raises(RecipeError, match="ImageNet"):
        MonoOccOptions(preset="monoocc-s", imagenet=True)
    with pytest.raises(RecipeError, match="different channels"):
        MonoOccOptions(preset="monoocc-s", teacher="file")
    with pytest.raises(CheckpointError, match="cannot be read"):
        MonoOccOptions(teacher=str(tmp_path / "absent.safetensors")).build()


def test_the_head_starts_at_class_frequencies_and_the_encoder_is_frozen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PRESETS, "monoocc-edge", TINY)
    recipe = read_recipe("monoocc-comparison")
    options = replace(recipe.task_options(), imagenet=False)  # type: ignore[type-var]
    task = options.build()
    assert isinstance(task, MonoOccTask)
    head = task.network.pts_bbox_head.header.mlp_head[1]
    assert int(head.bias.argmax()) == 0 and float(head.bias.detach().sum()) == pytest.approx(0, abs=1e-4)
    assert not any(p.requires_grad for p in task.network.img_backbone.parameters())
    assert all(p.requires_grad for p in task.network.img_neck.parameters())
    SceneModule(task, recipe.optimization, 10).configure_optimizers()


def test_a_teacher_is_loaded_without_its_decoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(PRESETS, "monoocc-edge-teacher", TINY)
    whole = MonoOcc(TINY)
    save_file(whole.state_dict(), tmp_path / "t.safetensors")
    teacher = load_teacher("monoocc-edge-teacher", tmp_path / "t.safetensors")
    assert not hasattr(teacher.pts_bbox_head, "sem_decoder")
    assert torch.equal(teacher.pts_bbox_head.bev_embed.weight, whole.pts_bbox_head.bev_embed.weight)


def test_recipes_of_the_family_are_complete() -> None:
    recipe = read_recipe("monoocc-comparison", ["task.late=false", "task.semantic=false"])
    options = recipe.task_options()
    assert isinstance(options, MonoOccOptions)
    assert (options.late, options.semantic, options.model) == (False, False, "monoocc-edge")


def test_the_logit_of_free_is_shifted_in_the_weights_that_are_written() -> None:
    assert read_recipe("monoocc-edge-kitti").task["free_addend"] == -0.6
    task = MonoOccOptions(free_addend=-0.6).build()
    state = task.network.state_dict()
    before, written = state[BIAS].clone(), task.finished(state)
    assert torch.equal(state[BIAS], before)
    torch.testing.assert_close(written[BIAS] - before, torch.tensor([-0.6] + [0.0] * 19))
    assert all(torch.equal(written[name], tensor) for name, tensor in state.items() if name != BIAS)
