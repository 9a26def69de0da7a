"""Training of the bird's-eye-view architecture: loss terms, mirrored scenes, crops of labelled images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.networks.edge_bev import output_without_evidence
from safetensors.torch import save_file

from occdepth_ros.data.earlier import PosedPair
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.factory import open_dataset
from occdepth_ros.errors import ImageError, SourceError, TrainingError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import FINE, GROUND, GROUND_CLASSES, KINDS, N_GROUND, STANDING_CLASSES
from occdepth_ros.models.edge_bev.loading import load_network
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.readout import folded
from occdepth_ros.training.augmentation import mirrored, rotated, without_patches
from occdepth_ros.training.config import read_recipe
from occdepth_ros.training.losses.bev_terms import (
    FREE_HIDDEN,
    FREE_OUTSIDE,
    balanced_pixel_term,
    pixel_term,
    voxel_terms,
)
from occdepth_ros.training.task import FinishingTask, collate
from occdepth_ros.training.tasks.edge_bev import EdgeBevOptions
from occdepth_ros.training.tasks.edge_bev_scenes import mirrored_target, training_target
from occdepth_ros.training.tasks.image import ImageOptions

GRID = VoxelGrid((0.0, -3.2, -2.2), (64, 32, 32), 0.2)
SIZE = (32, 16, 16)
SMALL = {"image": [64, 128], "stages": [16, 16, 16, 16], "depths": [1, 1, 1, 1], "hidden": 16}

pytestmark = pytest.mark.usefixtures("one_thread")


def example(seed: int = 0) -> SceneExample:
    from helpers.networks.exports import pair, rig_of

    rng = np.random.default_rng(seed)
    target = np.zeros(GRID.size, np.uint8)
    target[:, :, 2] = 9
    target[30:40, 4:9, 3:10] = 13
    target[rng.random(GRID.size) < 0.3] = 255
    left, right = pair(64, 128, seed)
    return SceneExample("a", left, right, rig_of(64, 128), GRID, target, seen=target == 9)


def output_of(labels: torch.Tensor, strength: float) -> BevOutput:
    """Logits that say the labels, `[N, 8]`, of one class a lifted voxel."""
    occupied = (labels > 0) & (labels < FREE_HIDDEN)
    kinds, layout = torch.zeros(len(labels), KINDS), torch.zeros(len(labels) // SIZE[2], 4, N_GROUND)
    for index, label in enumerate(STANDING_CLASSES):
        kinds[:, index] = strength * (labels == label).any(1)
    kinds[:, GROUND] = strength * torch.isin(labels, torch.tensor(GROUND_CLASSES)).any(1)
    layout[:, :, 0] = strength
    return output_without_evidence(torch.where(occupied, strength, -strength), kinds, layout)


def test_right_logits_cost_less_than_wrong_ones() -> None:
    labels = training_target(example())
    right = voxel_terms(output_of(labels, 8.0), labels)
    wrong = voxel_terms(output_of(labels, -8.0), labels)
    for name in ("occupancy", "overlap", "classes"):
        assert 0 <= float(right[name]) < 0.5 * float(wrong[name]), name


def test_a_scene_without_labels_has_no_loss() -> None:
    labels = torch.full((int(np.prod(SIZE)), FINE), 255, dtype=torch.uint8)
    assert all(float(term) == 0 for term in voxel_terms(output_of(labels, 1.0), labels).values())


def test_hidden_free_space_is_marked_by_region() -> None:
    scene = example()
    marked = training_target(scene)
    free = folded(torch.from_numpy(scene.target)) == 0
    assert set(marked[free].unique().tolist()) == {FREE_HIDDEN, FREE_OUTSIDE}
    assert torch.equal(marked[~free], folded(torch.from_numpy(scene.target))[~free])


def test_mirroring_after_lifting_equals_lifting_the_mirrored_labels() -> None:
    scene = example()
    target = folded(torch.from_numpy(scene.target))
    assert torch.equal(mirrored_target(target, SIZE), folded(torch.from_numpy(mirrored(scene).target)))


def test_one_step_teaches_the_network_and_it_predicts_labels() -> None:
    task = EdgeBevOptions(network=SMALL, shift=(2, 2, 1)).build()
    batch = collate([task.prepare(example(i), np.random.default_rng(i)) for i in range(2)])
    terms = task.losses(batch)
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None for p in task.network.parameters() if p.requires_grad)
    assert {name.split(".")[0] for name, p in task.network.named_parameters() if not p.requires_grad} == {
        "image_network"
    }
    task.network.eval()
    assert task.predict(batch).shape == (2, *GRID.size)


def test_a_training_continues_another_one_with_its_own_image_network(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = EdgeBevOptions(network=SMALL).build().network.state_dict()
    weights = tmp_path / "voxels.safetensors"
    save_file(before, weights)
    torch.manual_seed(2)
    after = EdgeBevOptions(network=SMALL, voxel_weights=str(weights)).build().network.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if not name.startswith("image_network.")} <= same
    assert "image_network.features.weight" in same and "image_network.head.0.weight" not in same


def test_a_training_continues_shipped_weights_by_their_name() -> None:
    task = EdgeBevOptions(voxel_weights="occdepth-edge").build()
    shipped = load_network("occdepth-edge", None).state_dict()
    for name in ("unet.enter.0.weight", "ground_profile.profile.weight", "evidence.weight"):
        assert torch.equal(task.network.state_dict()[name], shipped[name]), name


def test_scenes_are_trained_with_a_memory_of_the_pairs_before_them(tmp_path: Path) -> None:
    from helpers.walls import moved as wall_moved
    from helpers.walls import rig_of

    with pytest.raises(TrainingError, match=r"task\.memory: the classes of earlier pairs require"):
        EdgeBevOptions(network=SMALL, memory=1.0).build()
    weights = tmp_path / "image.safetensors"
    save_file(EdgeBevOptions(network=SMALL).build()._net.image_network.state_dict(), weights)
    options = EdgeBevOptions(network=SMALL, image_weights=str(weights), memory=1.0, before=2, dropout=0.5)
    task = options.build()

    def history(count: int) -> list[PosedPair]:
        poses = [np.eye(4), np.eye(4)]
        poses[1][0, 3] = 1.5
        return [PosedPair(*wall_moved(8, 64, 128, index), poses[index]) for index in range(2)[-count:]]

    world = np.eye(4)
    world[0, 3] = 3.0
    assert task._earlier is not None
    with torch.no_grad():  # building everywhere
        task._earlier._network.classes.weight.zero_()
        task._earlier._network.get_parameter("classes.bias").copy_(torch.eye(20)[13])
    posed = replace(example(), rig=rig_of(64, 128), history=history, world_from_grid=world)
    remembered = task.prepare(posed, None)["inputs"].scene.memory
    assert len(remembered.rows) > 0
    lengths = {len(task.prepare(posed, np.random.default_rng(i))["inputs"].scene.memory.rows) for i in range(8)}
    assert 0 in lengths and len(lengths) > 1, "the number of pairs varies"
    assert len(task._earlier._cache) == 2, "each pair is measured once"
    assert not len(task.prepare(example(), None)["inputs"].scene.memory.rows)


def test_a_pixel_with_two_possible_classes_counts_as_right_by_either() -> None:
    logits = torch.zeros(1, 20, 1, 2)
    logits[0, 16] = 9.0
    trunk_or_plant, plant = torch.tensor([[[20, 20]]]), torch.tensor([[[15, 15]]])
    assert float(pixel_term(logits, trunk_or_plant)) < 0.01 < float(pixel_term(logits, plant))
    assert float(pixel_term(logits, torch.full((1, 1, 2), 255))) == 0


def test_terms_that_a_scene_does_not_supervise_are_zero_and_keep_gradients() -> None:
    options = EdgeBevOptions(network=SMALL, shift=(2, 2, 1), yaw=10.0, patches=1.0, columns=100)
    task = options.build()
    scene = replace(example(), terms=frozenset({"occupancy", "overlap"}))
    terms = task.losses(collate([task.prepare(scene, np.random.default_rng(0))]))
    assert terms["classes"].item() == 0 < terms["occupancy"].item()
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None for p in task.network.parameters() if p.requires_grad)


def test_direct_paths_are_scaled_in_the_weights_that_are_written() -> None:
    task = EdgeBevOptions(network=SMALL, kinds_factor=2.0, ground_factor=1.5).build()
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    assert isinstance(task, FinishingTask)
    after = task.finished(before)
    for name, tensor in before.items():
        factor = {"pixel_kinds": 2.0, "pixel_ground": 1.5}.get(name.split(".")[0], 1.0)
        assert torch.allclose(after[name].float(), factor * tensor.float())


def test_columns_drawn_for_the_loss_estimate_the_loss_of_all() -> None:
    labels = training_target(example())
    output = output_of(labels, 1.0)
    drawn = [voxel_terms(output, labels, columns=400) for _ in range(8)]
    for name, term in voxel_terms(output, labels).items():
        assert float(sum(each[name] for each in drawn)) / 8 == pytest.approx(float(term), rel=0.15), name


def test_a_turned_grid_holds_the_labels_of_the_places_of_its_voxels() -> None:
    scene = example()
    there = rotated(scene, 0.2)
    points = GRID.centers_of(np.argwhere(there.target == 13))
    cos, sin = np.cos(0.2), np.sin(0.2)
    former = points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    index, inside = GRID.index_of(former)
    assert inside.all() and (scene.target[tuple(index.T)] == 13).all() and len(points) > 100
    # the cameras see both at the same place
    seen, before = (
        p @ rig.left_from_grid[:3, :3].T + rig.left_from_grid[:3, 3]
        for p, rig in ((points, there.rig), (former, scene.rig))
    )
    assert seen == pytest.approx(before, abs=1e-9)
    assert np.array_equal(rotated(scene, 0.0).target, scene.target)


def test_patches_without_matches_cover_a_part_of_the_image() -> None:
    disparity = np.full((100, 200), 64, np.int16)
    for seed in range(5):
        share = (without_patches(disparity, np.random.default_rng(seed)) == 0).mean()
        assert 0.002 < share < 0.3 and (disparity == 64).all()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images with ids beside them, half road, half sky."""
    rng = np.random.default_rng(0)
    ids = np.full((96, 160), 9, np.uint8)
    ids[:48] = 0
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), rng.integers(0, 255, (96, 160, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f"{name}.png"), ids)
    return tmp_path


def test_labelled_images_train_the_image_network(images: Path) -> None:
    scenes = open_dataset("images", images)
    assert len(scenes) == 2 and scenes[0].semantics is not None
    task = ImageOptions(crop=(64, 96), width=160).build()
    batch = collate([task.prepare(scenes[i], np.random.default_rng(i)) for i in range(2)])
    assert batch["image"].shape == (2, 3, 64, 96) and batch["target"].shape == (2, 16, 24, 1)
    assert set(batch["target"].unique().tolist()) <= {0, 9, 255}
    task.losses(batch)["pixels"].backward()
    assert all(p.grad is not None for p in task.network.parameters() if p.requires_grad)
    task.network.eval()
    whole = collate([task.prepare(scenes[0], None)])
    assert task.predict(whole).shape == whole["target"].shape


def test_a_frozen_encoder_keeps_its_weights_and_statistics(images: Path) -> None:
    scenes = open_dataset("images", images)
    task = ImageOptions(crop=(64, 96), width=160, freeze_encoder=True).build()
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in task.network.parameters() if p.requires_grad], 0.01)
    task.losses(collate([task.prepare(scenes[0], np.random.default_rng(0))]))["pixels"].backward()
    optimizer.step()
    changed = {name for name, tensor in task.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and not any(name.startswith("encoder.") for name in changed)


def test_only_the_class_layer_is_refitted(images: Path) -> None:
    scenes = open_dataset("images", images)
    task = ImageOptions(crop=(64, 96), width=160, trains="classes").build()
    batch = collate([task.prepare(replace(scenes[0], merged_classes=False), np.random.default_rng(0))])
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in task.network.parameters() if p.requires_grad], 0.05)
    losses = []
    for _ in range(10):
        terms = task.losses(batch)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        losses.append(float(terms["pixels"]))
    changed = {name for name, tensor in task.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"classes.weight", "classes.bias"} and losses[-1] < losses[0]


def test_the_anchor_is_the_distance_from_the_initial_class_layer(images: Path) -> None:
    task = ImageOptions(crop=(64, 96), width=160, trains="classes", anchor=0.5).build()
    batch = collate([task.prepare(open_dataset("images", images)[0], np.random.default_rng(0))])
    state = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    task.network.load_state_dict({**state, "classes.bias": state["classes.bias"] + 1})  # initial weights
    task.begin()
    assert float(task.losses(batch)["anchor"]) == 0
    task.network.load_state_dict({**state, "classes.bias": state["classes.bias"] + 3})  # those of a checkpoint
    assert float(task.losses(batch)["anchor"]) == pytest.approx(0.5 * 20 * 2**2, rel=1e-5)


def test_rare_labels_weigh_as_much_as_their_balanced_share() -> None:
    label = torch.full((1, 10, 100), 9)
    label[0, 0, :40] = 6
    logits = torch.zeros(1, 20, 10, 100)
    logits[:, 9] = 4.0
    plain, balanced = pixel_term(logits, label), balanced_pixel_term(logits, label)
    wrong = 40**0.4 / (40**0.4 + 960**0.4)
    log = logits.log_softmax(1)
    expected = -(wrong * log[0, 6, 0, 0] + (1 - wrong) * log[0, 9, 0, 0])
    assert float(balanced) == pytest.approx(float(expected), rel=1e-3) and balanced > plain


def test_cityscapes_ids_become_learning_map_ids(tmp_path: Path) -> None:
    image, labels = tmp_path / "leftImg8bit/train/bonn", tmp_path / "gtFine/train/bonn"
    image.mkdir(parents=True)
    labels.mkdir(parents=True)
    ids = np.array([[7, 8, 9, 26], [23, 24, 33, 4]], np.uint8)
    cv2.imwrite(str(image / "bonn_0_1_leftImg8bit.png"), np.zeros((2, 4, 3), np.uint8))
    with pytest.raises(SourceError, match="labels of an image are missing"):
        open_dataset("images", tmp_path)
    cv2.imwrite(str(labels / "bonn_0_1_gtFine_labelIds.png"), ids)
    semantics = open_dataset("images", tmp_path)[0].semantics
    assert semantics is not None and semantics.tolist() == [[9, 11, 10, 1], [0, 6, 2, 255]]


def test_images_without_labels_and_unknown_ids_are_refused(images: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(images / "a.png"), np.full((96, 160), 77, np.uint8))
    with pytest.raises(ImageError, match="holds the id 77"):
        open_dataset("images", images)[0]
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match="no images with labels"):
        open_dataset("images", tmp_path, ["none"])


@pytest.mark.parametrize("stage", ["", "-classes", "-image", "-image-synthetic", "-synthetic"])
def test_the_recipes_are_read(stage: str) -> None:
    assert read_recipe(f"occdepth-edge-bev{stage}").steps > 0
