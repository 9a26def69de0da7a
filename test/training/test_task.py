"""Training task of the OccDepth family: augmentation, inputs, targets, losses, gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.scenes import GRID, HEIGHT, WIDTH, rig, scene, small_config

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import GridError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.occdepth.config import PRESETS, DepthBins
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import OccDepth, freeze_unused
from occdepth_ros.training.augmentation import Augmentation, jitter, mirrored
from occdepth_ros.training.losses.class_weights import SEMANTIC_KITTI_VOXELS
from occdepth_ros.training.losses.depth import NO_BIN
from occdepth_ros.training.task import Task, collate
from occdepth_ros.training.tasks.occdepth import (
    LossWeights,
    OccDepthTask,
    class_table,
)
from occdepth_ros.training.tasks.occdepth_options import OccDepthOptions

pytestmark = pytest.mark.usefixtures("one_thread")

MIRROR = Augmentation(mirror=1.0, brightness=0, contrast=0, saturation=0)
INDOORS = {"grid": VoxelGrid((0.0, -1.6, -1.0), (32, 32, 16), 0.1)}


def pixels(one: StereoRig, points: np.ndarray) -> np.ndarray:
    """Left and right pixel of points in the grid's frame, `[2, N, 2]`."""
    out = []
    for camera, pose in ((one.left, one.left_from_grid), (one.right, one.right_from_grid)):
        seen = (points @ pose[:3, :3].T + pose[:3, 3]) @ camera.intrinsics.T
        out.append(seen[:, :2] / seen[:, 2:])
    return np.stack(out)


@pytest.mark.parametrize("swap", [True, False])
def test_mirroring_maps_points_to_flipped_pixels(swap: bool) -> None:
    example = replace(scene(), rig=rig())
    points = np.random.default_rng(0).uniform((2, -2, -1), (6, 2, 1), (50, 3))
    before = pixels(example.rig, points)
    before[..., 0] = WIDTH - 1 - before[..., 0]
    after = mirrored(example, swap_views=swap)
    found = pixels(after.rig, points * [1, -1, 1])
    assert after.rig.baseline == pytest.approx(example.rig.baseline)
    if swap:
        assert np.allclose(found, before[::-1])
        assert np.array_equal(after.left, example.right[:, ::-1])
    else:
        assert np.allclose(found[0], before[0])
        # a camera to the right of the mirrored left one: disparity is positive
        assert (found[0, :, 0] > found[1, :, 0]).all()
        assert np.array_equal(after.left, example.left[:, ::-1])
        assert after.depth is not None
        assert np.array_equal(after.depth, np.asarray(example.depth)[:, ::-1], equal_nan=True)


def test_mirroring_moves_voxels_to_the_other_side_and_is_its_own_inverse() -> None:
    example = scene(grid=replace(GRID, origin=(0.0, -2.0, -1.0)))
    after = mirrored(example)
    index = np.argwhere(example.target == 1)
    there, inside = after.grid.index_of(example.grid.centers_of(index) * [1, -1, 1])
    assert inside.all()
    assert (after.target[tuple(there.T)] == 1).all()
    again = mirrored(after)
    assert np.array_equal(again.target, example.target)
    assert np.array_equal(again.left, example.left)
    assert again.grid.origin == pytest.approx(example.grid.origin)
    for attribute in ("left_from_grid", "right_from_grid"):
        assert np.allclose(getattr(again.rig, attribute), getattr(example.rig, attribute))
    assert np.allclose(again.rig.left.projection, example.rig.left.projection)


def test_jitter_changes_both_views_equally() -> None:
    image = torch.from_numpy(scene().left).movedim(-1, 0)
    changed = jitter(torch.stack([image, image]), Augmentation(), np.random.default_rng(3))
    torch.testing.assert_close(changed[0], changed[1])
    assert not torch.equal(changed[0], image)
    none = Augmentation(brightness=0, contrast=0, saturation=0)
    torch.testing.assert_close(jitter(image[None], none, np.random.default_rng(3))[0], image)


def test_augmentation_depends_on_the_generator_alone() -> None:
    task = OccDepthTask(small_config())
    first, second, other = (task.prepare(scene(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    torch.testing.assert_close(first["images"], second["images"])
    assert not torch.equal(first["images"], other["images"])


def test_prepared_scenes_have_the_documented_shapes() -> None:
    config = small_config()
    prepared = OccDepthTask(config).prepare(scene(), None)
    assert prepared["images"].shape == (2, 3, HEIGHT, WIDTH)
    assert prepared["target"].shape == GRID.size
    assert prepared["coarse"].shape == config.bottom_size
    assert prepared["depth_bins"].shape == (2, 8, 12)
    assert prepared["tiles"].shape == (2, *GRID.size)
    bins = prepared["depth_bins"]
    # ten rows of sky and ten of unknown depth: two rows of blocks without depth, and no depth for the right view
    assert (bins[0, :2] == NO_BIN).all()
    assert (bins[0, 3:] != NO_BIN).any()
    assert (bins[1] == NO_BIN).all()


def test_mirrored_scenes_supervise_the_depth_of_the_other_view() -> None:
    task = OccDepthTask(small_config(), augmentation=MIRROR)
    reference, mirror = task.prepare(scene(), None), task.prepare(scene(), np.random.default_rng(0))
    # a depth on the border of two bins may fall on either side
    assert (mirror["depth_bins"][1] == reference["depth_bins"][0].flip(-1)).float().mean() > 0.999
    assert (mirror["depth_bins"][0] == NO_BIN).all()
    assert torch.equal(mirror["target"], reference["target"].flip(1))
    # a mirrored voxel reads the flipped pixel of the other view
    y, visible = reference["geometry"].size[1], reference["geometry"].visible
    grid_shape = (2, 16, y, 8)
    mirrored_visible = mirror["geometry"].visible.reshape(grid_shape).flip(0).flip(2)
    assert (mirrored_visible == visible.reshape(grid_shape)).float().mean() > 0.99


def test_calibrations_are_computed_once() -> None:
    task = OccDepthTask(small_config())
    first, again = task.prepare(scene(0), None), task.prepare(scene(1), None)
    assert first["geometry"] is again["geometry"]
    other = replace(scene(0), rig=mirrored(scene(0)).rig)
    assert task.prepare(other, None)["geometry"] is not first["geometry"]


@pytest.mark.parametrize(("align", "height"), [("place", -1.2), ("index", -1.0)])
def test_alignment_decides_where_voxels_are_projected(align: str, height: float) -> None:
    task = OccDepthTask(small_config(), align=align)  # type: ignore[arg-type]
    ground_truth_grid = replace(GRID, origin=(0.0, -3.2, -1.2))
    prepared = task.prepare(scene(grid=ground_truth_grid), None)
    expected = SceneGeometry.of_rig(task.config, rig(), replace(GRID, origin=(0.0, -3.2, height)))
    assert (prepared["geometry"].pixels[1] == expected.pixels[1]).float().mean() > 0.99
    assert np.array_equal(prepared["target"].numpy(), scene().target)


def test_a_smaller_network_is_trained_on_a_crop_of_the_scene() -> None:
    large = VoxelGrid((0.0, -6.4, -1.2), (48, 64, 24), 0.2)
    example = scene(grid=large)
    prepared = OccDepthTask(small_config()).prepare(example, None)
    assert np.array_equal(prepared["target"].numpy(), example.target[:32, 16:48, 1:17])
    far = replace(example, grid=replace(large, origin=(100.0, -6.4, -1.2)))
    with pytest.raises(GridError, match="nothing of the ground truth"):
        OccDepthTask(small_config()).prepare(far, None)


def test_depth_is_resized_by_nearest_neighbour() -> None:
    depth = torch.arange(32.0).reshape(4, 8) + 1
    depth[0, 0], depth[0, 1] = torch.nan, torch.inf
    cropped = ImageFit((4, 8), (4, 8), (3, 10)).apply_depth(depth)
    assert cropped.shape == (3, 10)
    assert torch.equal(cropped[:, 2:8], depth[:3, 2:])
    assert not cropped[0, :2].any()
    assert not cropped[:, 8:].any()
    resized = ImageFit((4, 8), (2, 4), (2, 4)).apply_depth(depth)
    assert set(resized.flatten().tolist()) <= set(depth.nan_to_num(0, 0, 0).flatten().tolist())


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_parameter_of_every_preset_gets_a_gradient(name: str) -> None:
    config = small_config(name, **(INDOORS if "nyu" in name else {}))
    torch.manual_seed(0)
    task = OccDepthTask(config)
    assert isinstance(task, Task)
    example = scene(grid=config.grid, n_classes=config.n_classes)
    batch = collate([task.prepare(example, np.random.default_rng(0))])
    terms = task.losses(batch)
    requested = {"cross_entropy", "semantic_affinity", "geometric_affinity", "frustum"}
    requested |= {"occupancy"} if config.cascade else set()
    requested |= {"relation"} if config.crp else set()
    requested |= {"depth"} if config.depth else set()
    assert set(terms) == requested
    sum(terms.values(), torch.zeros(())).backward()
    gradients = {key: p.grad for key, p in task.network.named_parameters() if p.requires_grad}
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values() if gradient is not None)
    task.network.eval()
    with torch.inference_mode():
        labels = task.predict(batch)
    assert labels.shape == batch["target"].shape
    assert labels.dtype == torch.uint8
    assert int(labels.max()) < config.n_classes


def test_a_window_limits_only_full_resolution() -> None:
    task = OccDepthTask(small_config(), window=16, augmentation=Augmentation(mirror=0))
    whole, part = task.prepare(scene(), None), task.prepare(scene(), np.random.default_rng(2))
    assert "window" not in whole
    x, y = part["window"].slices()
    assert part["target"].shape == (16, 16, 16)
    assert torch.equal(part["target"], whole["target"][x, y])
    assert torch.equal(part["tiles"], whole["tiles"][:, x, y])
    assert torch.equal(part["coarse"], whole["coarse"])
    terms = task.losses(collate([part]))
    assert set(terms) == set(task.losses(collate([whole])))
    sum(terms.values(), torch.zeros(())).backward()
    assert all(p.grad is not None for p in task.network.parameters() if p.requires_grad)
    with pytest.raises(ModelError, match="KITTI layout"):
        OccDepthTask(small_config("occdepth-nyu-b4", **INDOORS), window=16)


def test_a_frozen_encoder_keeps_weights_and_statistics_and_processes_all_views_at_once() -> None:
    torch.manual_seed(0)
    task = OccDepthTask(small_config(), freeze_encoder=True)
    encoder = task.network.get_submodule("net_rgb.encoder")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    batches: list[int] = []
    handle = encoder.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    task.network.train()
    sum(task.losses(collate([task.prepare(scene(), None)])).values(), torch.zeros(())).backward()
    handle.remove()
    assert batches == [2]
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(p.grad is None for p in encoder.parameters())
    decoder = task.network.get_submodule("net_rgb.decoder")
    assert all(p.grad is not None for p in decoder.parameters() if p.requires_grad)
    # the features of a view do not depend on the other view
    images = task.prepare(scene(), None)["images"][None]
    network = task.network
    assert isinstance(network, OccDepth)
    both, first = network.features(images), network.features(images[:, :1])
    assert all(torch.allclose(both[s][:, :1], first[s], atol=1e-5) for s in first)


def test_heads_are_initialized_with_the_class_frequencies() -> None:
    task = OccDepthOptions(preset="occdepth-small", frequencies=True).build()
    head = task.network.get_submodule("net_3d_decoder.ssc_head")
    share = SEMANTIC_KITTI_VOXELS[0] / sum(SEMANTIC_KITTI_VOXELS)
    for name in ("conv_classes", "occ_classes"):
        bias = head.get_submodule(name).bias
        assert isinstance(bias, torch.Tensor)
        assert float(bias.softmax(0)[0]) == pytest.approx(share, rel=1e-4)
        assert abs(float(bias.mean())) < 1e-5


def test_unused_parameters_are_the_published_67() -> None:
    with torch.device("meta"):
        network = freeze_unused(OccDepth(PRESETS["occdepth-b3"]))
    assert sum(not p.requires_grad for p in network.parameters()) == 67


def test_prediction_equals_the_reference_network() -> None:
    task = OccDepthTask(small_config())
    batch = collate([task.prepare(scene(), None)])
    task.network.eval()
    with torch.inference_mode():
        expected = task.network(batch["images"], batch["geometry"][0]).completion.logits.argmax(dim=1)
        assert (task.predict(batch) == expected).float().mean() > 0.999


def test_the_second_view_may_be_run_without_gradient() -> None:
    losses, gradients = {}, {}
    for both in (True, False):
        torch.manual_seed(0)
        task = OccDepthTask(small_config(), second_view_gradient=both)
        total = sum(task.losses(collate([task.prepare(scene(), None)])).values(), torch.zeros(()))
        total.backward()
        losses[both] = float(total.detach())
        gradients[both] = [p.grad for p in task.network.get_submodule("net_rgb.decoder").parameters()]
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)
    pairs = zip(gradients[True], gradients[False], strict=True)
    for of_both, of_one in [pair for pair in pairs if pair[0] is not None][:2]:
        assert of_both is not None and of_one is not None and not torch.allclose(of_both, of_one)


def test_weights_scale_terms_and_zero_disables_them() -> None:
    torch.manual_seed(0)
    task = OccDepthTask(small_config(), weights=LossWeights(depth=0, frustum=2, relation=0.5))
    batch = collate([task.prepare(scene(), None)])
    task.network.eval()
    scaled = task.losses(batch)
    task.weights = LossWeights()
    reference = task.losses(batch)
    assert set(reference) - set(scaled) == {"depth"}
    assert float(scaled["frustum"].detach()) == pytest.approx(2 * float(reference["frustum"].detach()), rel=1e-4)
    assert float(scaled["relation"].detach()) == pytest.approx(0.5 * float(reference["relation"].detach()), rel=1e-4)


def test_losses_are_finite_without_any_ground_truth() -> None:
    task = OccDepthTask(small_config())
    empty = replace(scene(), target=np.full(GRID.size, 255, np.uint8), depth=None)
    terms = task.losses(collate([task.prepare(empty, np.random.default_rng(1))]))
    sum(terms.values(), torch.zeros(())).backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.network.parameters())


def test_networks_that_cannot_be_trained_are_refused() -> None:
    with pytest.raises(ModelError, match="occluded"):
        OccDepthTask(small_config(occluded=True))
    task = OccDepthTask(small_config(depth=DepthBins(count=8)))
    prepared = task.prepare(scene(), None)
    with pytest.raises(ModelError, match="batch_size"):
        task.losses(collate([prepared, prepared]))
    config = small_config("occdepth-nyu-b4", **INDOORS)
    with pytest.raises(ModelError, match="has no depth"):
        OccDepthTask(config).prepare(replace(scene(grid=config.grid, n_classes=12), depth=None), None)


def test_an_unknown_class_table_is_replaced_by_numbered_classes() -> None:
    assert class_table(20).names[1] == "car"
    assert class_table(12).names[:2] == ("empty", "class 1")
