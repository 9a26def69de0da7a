"""MonoOcc: samplers, head, cross view transformer, backbones and neck against direct formulations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.networks.monoocc import GRID, TINY, by_grid_sample, references
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.models.monoocc.attention import ring_of_points
from occdepth_ros.models.monoocc.backbones import EfficientNetLite0, PyramidNeck, ResNet50, make_backbone
from occdepth_ros.models.monoocc.cross_view import CrossViewTransformer, unwindowed, windows
from occdepth_ros.models.monoocc.layers import first_other
from occdepth_ros.models.monoocc.sampling import padded_map, sample_and_sum
from occdepth_ros.models.monoocc.semantic_decoder import ZeroStuffing
from occdepth_ros.models.monoocc.upsampled_head import UpsampledHead, coarse_range, interpolation

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


def test_weighted_samples_are_those_of_grid_sample_with_their_gradients() -> None:
    values = torch.randn(5, 7, 2, 4)
    locations = torch.rand(50, 2, 3, 2) * torch.tensor([13.0, 11.0]) - 3
    weights = torch.rand(50, 2, 3)
    results = []
    for form in (lambda v, *rest: sample_and_sum(padded_map(v), *rest), by_grid_sample):
        inputs = [t.clone().requires_grad_() for t in (values, locations, weights)]
        out = form(*inputs)
        results.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
    for ours, reference in zip(*results, strict=True):
        assert torch.allclose(ours, reference, atol=1e-4)


def test_samples_at_nan_locations_are_nan() -> None:
    locations = torch.full((1, 1, 1, 2), float("nan"))
    assert sample_and_sum(padded_map(torch.ones(2, 2, 1, 1)), locations, torch.ones(1, 1, 1)).isnan().all()
    far = torch.tensor([[[[1e30, -1e30]]]])
    assert sample_and_sum(padded_map(torch.ones(2, 2, 1, 1)), far, torch.ones(1, 1, 1)).item() == 0


def test_maps_beyond_the_exact_range_are_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        sample_and_sum(torch.empty(4096, 4096, 1, 1, device="meta"), torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1))


def test_the_head_equals_upsampling_norm_and_linear_layer() -> None:
    head = UpsampledHead(6, 5)
    with torch.no_grad():
        head.get_parameter("mlp_head.0.weight").normal_()
        head.get_parameter("mlp_head.0.bias").normal_()
    volume = torch.randn(3, 4, 5, 6, requires_grad=True)
    fine = F.interpolate(volume.movedim(-1, 0)[None], scale_factor=2, mode="trilinear", align_corners=True)[0]
    reference = head.mlp_head(fine.movedim(0, -1)).movedim(-1, 0)
    ours = head(volume)
    assert ours.shape == (5, 6, 8, 10)
    assert torch.allclose(ours, reference, atol=1e-4)
    weight = torch.randn(ours.shape)
    one, two = (torch.autograd.grad((out * weight).sum(), volume)[0] for out in (ours, reference))
    assert torch.allclose(one, two, atol=1e-3)


def test_the_head_is_finite_for_equal_voxels() -> None:
    assert UpsampledHead(6, 5)(torch.ones(2, 2, 2, 6)).isfinite().all()


def test_first_offsets_point_around_the_query() -> None:
    ring = ring_of_points(8, 1, 3)
    assert ring[:, 0, 0].abs().amax(-1).tolist() == [1.0] * 8
    assert torch.equal(ring[0, 0], torch.tensor([[1.0, 0], [2, 0], [3, 0]]))
    assert torch.allclose(ring[3, 0, 1], torch.tensor([-2.0, 2.0]))


@given(st.sets(st.integers(0, 12)))
def test_first_other_finds_the_smallest_missing_number(numbers: set[int]) -> None:
    ascending = torch.tensor(sorted(numbers), dtype=torch.int64)
    expected = next((n for n in range(13) if n not in numbers), None)
    assert first_other(ascending, 13) == expected


def test_references_are_strictly_inside_and_in_front() -> None:
    seen = references()
    grid = TINY.working_grid(GRID)
    centers = grid.centers()
    u = 96 * -centers[:, 1] / centers[:, 0] + 96
    v = 96 * -centers[:, 2] / centers[:, 0] + 32
    assert np.allclose(seen.points[0].numpy(), np.stack([u / 192, v / 64], 1), atol=1e-5)
    inside = (u > 0) & (u < 192) & (v > 0) & (v < 64)
    # on the image's border rounding decides
    clear = (np.abs(np.stack([u, u - 192, v, v - 64])) > 1e-3).all(axis=0)
    assert clear.sum() > 1900
    assert np.array_equal(seen.visible[0].numpy()[clear], inside[clear])
    view = seen.views(torch.arange(0, TINY.voxels, 3))[0]
    parts = view.chunks(100)
    assert torch.equal(torch.cat([rows + 100 * k for k, (rows, _) in enumerate(parts)]), view.rows)
    assert all(((rows >= 0) & (rows < 100)).all() for rows, _ in parts)


def test_zero_stuffing_leaves_the_bias_between_the_pixels() -> None:
    block = ZeroStuffing(2, 0.1).eval()
    x = torch.randn(1, 2, 3, 4)
    out = block.conv1(x)
    assert out.shape == (1, 2, 6, 8)
    weight, bias = (block.get_parameter(f"conv1.{name}").view(2, 1, 1) for name in ("weight", "bias"))
    assert torch.allclose(out[0, :, ::2, ::2], x[0] * weight + bias)
    assert torch.allclose(out[0, :, 1::2], bias.expand(2, 3, 8))


def test_unwindowed_inverts_windows() -> None:
    x = torch.randn(2, 6, 8, 3)
    for shift in ((0, 0), (1, 2)):
        assert torch.equal(unwindowed(windows(x, shift), (6, 8), shift), x)


def test_odd_maps_skip_the_exchange_and_even_ones_do_not() -> None:
    exchange = CrossViewTransformer(16, 2).exchange
    odd, even = torch.randn(3, 16, 4, 7), torch.randn(3, 16, 4, 8)
    assert torch.equal(exchange(odd), odd)
    assert all(not torch.equal(a, b) for a, b in zip(exchange(even), even, strict=True))


def test_resnet_keeps_its_norms_and_stem() -> None:
    network = ResNet50().train()
    assert not network.bn1.training
    assert network.layer3.training
    learning = {n.split(".")[0] for n, p in network.named_parameters() if p.requires_grad}
    assert learning == {"layer2", "layer3"}
    assert not any("bn" in n for n, p in network.named_parameters() if p.requires_grad)


def test_a_settled_encoder_keeps_its_norms_and_first_stages() -> None:
    network = EfficientNetLite0()
    assert all(p.requires_grad for p in network.parameters())
    network.freeze_early_layers()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    out = network(torch.randn(1, 3, 32, 64))
    assert [tuple(x.shape) for x in out] == [(1, 40, 4, 8), (1, 112, 2, 4)]
    sum((x.square().sum() for x in out), start=torch.zeros(())).backward()
    learning = {name for name, p in network.named_parameters() if p.grad is not None}
    assert {name.split(".")[2] for name in learning} == {"2", "3", "4"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.net.blocks[3].training and not network.net.bn1.training


def test_the_neck_merges_levels() -> None:
    maps = make_backbone("efficientnet-lite0").eval()(torch.randn(1, 3, 50, 70))
    assert [tuple(m.shape[-2:]) for m in maps] == [(7, 9), (4, 5)]
    neck = PyramidNeck([m.shape[1] for m in maps], 8)
    out = neck(maps)
    assert out.shape == (1, 8, 7, 9)
    assert not torch.allclose(out, neck([maps[0], torch.zeros_like(maps[1])]))


@given(st.integers(2, 9), st.data())
def test_coarse_range_covers_the_fine_voxels(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, 2 * size - 1))
    fine = range(start, data.draw(st.integers(start + 1, 2 * size)))
    coarse, weights = coarse_range(fine, size), interpolation(fine, size)
    assert coarse.start >= 0 and coarse.stop <= size
    assert weights.shape == (len(fine), len(coarse))
    assert torch.allclose(weights.sum(1), torch.ones(len(fine)), atol=1e-6)
    axis = torch.rand(size)
    expected = F.interpolate(axis[None, None], scale_factor=2, mode="linear", align_corners=True)[0, 0]
    assert torch.allclose(weights @ axis[coarse.start : coarse.stop], expected[fine.start : fine.stop], atol=1e-5)
