"""MonoOcc's second stage: its parts against plain formulations, and that every part learns, in small sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.monoocc import layers
from occdepth_ros.models.monoocc.attention import PointAttention, SelfAttention, ring_of_points
from occdepth_ros.models.monoocc.backbones import EfficientNetLite0, PyramidNeck, ResNet50, make_backbone
from occdepth_ros.models.monoocc.config import PRESETS, MonoOccConfig
from occdepth_ros.models.monoocc.cross_view import CrossViewTransformer, unwindowed, windows
from occdepth_ros.models.monoocc.layers import first_other
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.reference import reference_logits
from occdepth_ros.models.monoocc.reference_points import References
from occdepth_ros.models.monoocc.sampling import padded_map, sample_and_sum
from occdepth_ros.models.monoocc.semantic_decoder import ZeroStuffing
from occdepth_ros.models.monoocc.upsampled_head import UpsampledHead, coarse_range, interpolation

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
TINY = MonoOccConfig(
    "tiny",
    "efficientnet-lite0",
    channels=16,
    heads=2,
    points=2,
    hidden=24,
    cross_layers=1,
    self_layers=2,
    late_layers=1,
    columns=32,
    grid=GRID,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def references(count: int = 1, size: tuple[int, int] = (64, 192)) -> References:
    height, width = size
    k = np.array([[0.5 * width, 0, width / 2, 0], [0, 0.5 * width, height / 2, 0], [0, 0, 1, 0]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    cameras = []
    for i in range(count):
        moved = pose.copy()
        moved[2, 3] = 0.5 * i
        cameras.append((PinholeCamera(k, width, height), moved))
    return References.of_cameras(TINY.working_grid(GRID), cameras)


def some_proposals(seed: int = 1) -> torch.Tensor:
    return torch.rand(TINY.voxels, generator=torch.Generator().manual_seed(seed)) < 0.1


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """Fresh offsets do not depend on the queries: give every matrix something to say."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return network


def by_grid_sample(values: torch.Tensor, locations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    h, w = values.shape[:2]
    grid = (2 * locations + 1) / torch.tensor([w, h], dtype=locations.dtype) - 1
    sampled = F.grid_sample(values.permute(2, 3, 0, 1), grid.movedim(1, 0), align_corners=False)
    return (sampled * weights.movedim(1, 0)[:, None]).sum(-1).permute(2, 0, 1).flatten(1)


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


def test_samples_at_no_place_give_no_number_but_no_crash() -> None:
    locations = torch.full((1, 1, 1, 2), float("nan"))
    assert sample_and_sum(padded_map(torch.ones(2, 2, 1, 1)), locations, torch.ones(1, 1, 1)).isnan().all()
    far = torch.tensor([[[[1e30, -1e30]]]])
    assert sample_and_sum(padded_map(torch.ones(2, 2, 1, 1)), far, torch.ones(1, 1, 1)).item() == 0


def test_maps_beyond_the_exact_range_are_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        sample_and_sum(torch.empty(4096, 4096, 1, 1, device="meta"), torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1))


def test_the_head_is_upsampling_then_norm_then_linear() -> None:
    head = UpsampledHead(6, 5)
    with torch.no_grad():
        head.mlp_head[0].weight.normal_()
        head.mlp_head[0].bias.normal_()
    volume = torch.randn(3, 4, 5, 6, requires_grad=True)
    fine = F.interpolate(volume.movedim(-1, 0)[None], scale_factor=2, mode="trilinear", align_corners=True)[0]
    reference = head.mlp_head(fine.movedim(0, -1)).movedim(-1, 0)
    ours = head(volume)
    assert ours.shape == (5, 6, 8, 10)
    assert torch.allclose(ours, reference, atol=1e-4)
    weight = torch.randn(ours.shape)
    one, two = (torch.autograd.grad((out * weight).sum(), volume)[0] for out in (ours, reference))
    assert torch.allclose(one, two, atol=1e-3)


def test_equal_voxels_do_not_trouble_the_head() -> None:
    assert UpsampledHead(6, 5)(torch.ones(2, 2, 2, 6)).isfinite().all()


def test_merged_points_are_two_passes_over_equal_copies() -> None:
    """Published form: features and features plus position concatenated, softmax and mean per copy."""
    attention = SelfAttention(TINY).eval()
    shaken(attention)
    rows, columns = torch.randn(4, 8), torch.randn(32, 8)
    x = torch.randn(128, 16)
    position = torch.cat([columns.repeat(4, 1), rows.repeat_interleave(32, 0)], 1)
    query = torch.cat([x, x + position], 1)
    by_row, by_column = attention.by_position(rows, columns)
    projected = attention.by_features(x) + (by_row[:, None] + by_column).flatten(0, 1)
    ours = attention.attend(x, projected, attention.table(x.view(4, 32, 16)), torch.arange(128), 32)
    offsets = attention.sampling_offsets(query).view(128, 2, 2, 2, 2)
    weights = attention.attention_weights(query).view(128, 2, 2, 2).softmax(-1)
    values = attention.value_proj(x).view(4, 32, 2, 8)
    cell = torch.arange(128)
    place = torch.stack([cell % 32, cell // 32], -1)[:, None, None].float()
    passes = [by_grid_sample(values, place + offsets[:, :, i], weights[:, :, i]) for i in range(2)]
    assert torch.allclose(ours, attention.output_proj(sum(passes) / 2) + x, atol=1e-5)


def test_first_offsets_point_around_the_query() -> None:
    ring = ring_of_points(8, 1, 3)
    assert ring[:, 0, 0].abs().amax(-1).tolist() == [1.0] * 8
    assert torch.equal(ring[0, 0], torch.tensor([[1.0, 0], [2, 0], [3, 0]]))
    assert torch.allclose(ring[3, 0, 1], torch.tensor([-2.0, 2.0]))


@given(st.sets(st.integers(0, 12)))
def test_the_first_number_that_is_missing(numbers: set[int]) -> None:
    ascending = torch.tensor(sorted(numbers), dtype=torch.int64)
    expected = next((n for n in range(13) if n not in numbers), None)
    assert first_other(ascending, 13) == expected


def small_network(**changes: object) -> MonoOcc:
    return MonoOcc(replace(TINY, **changes))  # type: ignore[arg-type]


def test_chunks_and_shared_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = shaken(small_network()).eval()
    assert isinstance(network, MonoOcc)
    images = torch.randn(1, 3, 64, 192)
    whole = network(images, references(), some_proposals())
    monkeypatch.setitem(layers.CHUNK, "cpu", 100)
    with torch.inference_mode():
        assert torch.allclose(whole, network(images, references(), some_proposals()), atol=1e-4)
        head = network.pts_bbox_head
        volume, tables = torch.randn(TINY.voxels, 16), head.positional_encoding
        rows, columns = tables.row_embed.weight, tables.col_embed.weight
        volume[100:1000] = volume[0]
        distinct = torch.cat([torch.arange(1, 100), torch.arange(1000, TINY.voxels)])
        reference = head.self_transformer(volume, rows, columns, 4096)
        assert torch.allclose(head.self_transformer(volume, rows, columns, 256, distinct), reference, atol=1e-4)


@pytest.mark.parametrize(
    "proposed", [torch.zeros(TINY.voxels, dtype=torch.bool), torch.ones(TINY.voxels, dtype=torch.bool)]
)
def test_no_proposals_and_nothing_but_proposals(proposed: torch.Tensor) -> None:
    with torch.inference_mode():
        logits = small_network().eval()(torch.randn(1, 3, 64, 192), references(), proposed)
    assert logits.shape == (20, 32, 32, 16)
    assert logits.isfinite().all()


def test_the_reference_formulation_says_the_same() -> None:
    network = shaken(small_network(cross_layers=2)).eval()
    assert isinstance(network, MonoOcc)
    images = torch.randn(1, 3, 64, 192)
    with torch.inference_mode():
        ours = network(images, references(), some_proposals())
        reference = reference_logits(network, images, references(), some_proposals())
    assert torch.allclose(ours, reference, atol=1e-4)
    assert float(ours.std()) > 0.1


def test_every_part_learns() -> None:
    network = small_network(cameras=2, cross_view=True)
    shaken(network)
    features = network.features(torch.randn(2, 3, 64, 192))
    volumes = network.volumes(features, references(2), some_proposals())
    loss = network.pts_bbox_head.classify(volumes.last).square().mean()
    loss = loss + network.pts_bbox_head.sem_decoder(features).square().mean()
    loss.backward()
    idle = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert idle == []


def test_invisible_queries_get_the_output_bias_and_many_images_their_mean() -> None:
    attention = layers.CrossTransformer(replace(TINY, cameras=2), 1).encoder.layers[0].attentions[0].eval()
    queries, values = torch.randn(3, 16), torch.randn(4, 6, 16)
    table = attention.deformable_attention.table(values)
    point = torch.tensor([[0.5, 0.5]])
    first, none = (torch.tensor([0]), point), (torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2))
    once = attention(queries, [table], [first])
    assert torch.allclose(once[1:], queries[1:] + attention.output_proj.bias)
    assert not torch.allclose(once[0], queries[0] + attention.output_proj.bias)
    assert torch.allclose(attention(queries, [table, table], [first, first]), once, atol=1e-6)
    assert torch.allclose(attention(queries, [table, table], [first, none]), once, atol=1e-6)


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
    weight, bias = block.conv1.weight.view(2, 1, 1), block.conv1.bias.view(2, 1, 1)
    assert torch.allclose(out[0, :, ::2, ::2], x[0] * weight + bias)
    assert torch.allclose(out[0, :, 1::2], bias.expand(2, 3, 8))


def test_windows_there_and_back() -> None:
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
    network.settle()
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


@pytest.mark.parametrize(
    ("name", "parameters"),
    # counts of the specification, less what is not computed
    [("monoocc-s", 58_972_924), ("monoocc-s-shipped", 58_788_840), ("monoocc-l", 364_403_352)],
)
def test_published_sizes(name: str, parameters: int) -> None:
    config = PRESETS[name]
    with torch.device("meta"):
        network = MonoOcc(config)
    unused = {"resnet50": 14_964_736, "internimage-xl": 138_076_320 + 768 * 1536 * 9 + 2 * 1536}[config.backbone]
    unused += 138_408 - 2_836 + 99_968 + 4 * 128 + 128 + (0 if config.late else 373_312)
    assert sum(p.numel() for p in network.parameters()) == parameters - unused


def test_wrong_grids_are_refused() -> None:
    with pytest.raises(GridError, match="do not fill rows"):
        replace(TINY, columns=36)
    with pytest.raises(GridError, match="completes"):
        TINY.check_grid(VoxelGrid((0.0, 0.0, 0.0), (32, 32, 32), 0.2))
    TINY.check_grid(VoxelGrid((5.0, 0.0, 0.0), (32, 32, 16), 0.2))


def test_points_of_a_head_share_its_weight() -> None:
    attention = PointAttention(16, TINY, 2)
    _, weights = attention.split(torch.randn(5, 3 * 2 * 2 * 2))
    assert torch.allclose(weights.sum(-1), torch.ones(5, 2))


SPATIAL = replace(TINY, columns=128, placed=True, heads=4)


@pytest.mark.parametrize("config", [TINY, SPATIAL], ids=["published", "small"])
def test_wanted_voxels_are_what_they_are_among_all(config: MonoOccConfig) -> None:
    network = shaken(MonoOcc(replace(config, semantic=False))).eval()
    assert isinstance(network, MonoOcc)
    head, images = network.pts_bbox_head, torch.randn(1, 3, 64, 192)
    window = ColumnWindow(8, 16, 16)
    wanted = head.needed(window)
    with torch.no_grad():
        features = network.features(images)
        whole = network.volumes(features, references(), some_proposals()).last
        part = network.volumes(features, references(), some_proposals(), wanted).last
        assert len(part) < len(whole) / 2
        assert torch.allclose(part, whole[wanted], atol=1e-4)
        assert torch.allclose(head.classify_window(part, window), window.crop(head.classify(whole)), atol=1e-3)


def test_labels_are_read_out_as_of_all_logits() -> None:
    head = shaken(UpsampledHead(6, 5))
    assert isinstance(head, UpsampledHead)
    volume = torch.randn(3, 2, 5, 6)
    with torch.no_grad():
        probability = head(volume).softmax(0)
        labels, confidence = head.read_out(volume)
    assert labels.dtype == confidence.dtype == torch.uint8
    assert torch.equal(labels.long(), probability.argmax(0))
    assert (confidence.float() - 255 * probability.amax(0)).abs().max() < 0.51


@given(st.integers(2, 9), st.data())
def test_coarse_voxels_of_fine_ones(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, 2 * size - 1))
    fine = range(start, data.draw(st.integers(start + 1, 2 * size)))
    coarse, weights = coarse_range(fine, size), interpolation(fine, size)
    assert coarse.start >= 0 and coarse.stop <= size
    assert weights.shape == (len(fine), len(coarse))
    assert torch.allclose(weights.sum(1), torch.ones(len(fine)), atol=1e-6)
    axis = torch.rand(size)
    expected = F.interpolate(axis[None, None], scale_factor=2, mode="linear", align_corners=True)[0, 0]
    assert torch.allclose(weights @ axis[coarse.start : coarse.stop], expected[fine.start : fine.stop], atol=1e-5)


def test_where_rows_are_planes_attention_begins_at_the_neighbours() -> None:
    assert SPATIAL.spatial and not TINY.spatial
    attention = SelfAttention(SPATIAL)
    offsets = attention.sampling_offsets.bias.detach().view(4, 4, 2)
    size = SPATIAL.working_size
    flat = (offsets[..., 0] + SPATIAL.columns * offsets[..., 1]).long()
    middle = torch.tensor([size[0] // 2, size[1] // 2, size[2] // 2])
    voxels = flat + (middle[0] * size[1] + middle[1]) * size[2] + middle[2]
    found = torch.stack(torch.unravel_index(voxels, size), -1) - middle
    steps = torch.tensor([1, -1, 2, -2])[:, None]
    for axis, direction in zip(found, ([0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0]), strict=True):
        assert torch.equal(axis, steps * torch.tensor(direction))


def test_placed_voxels_know_where_they_are() -> None:
    head = MonoOcc(SPATIAL).pts_bbox_head
    assert head.bev_embed.weight.shape == (1, 16)
    proposals = torch.tensor([5, 200, 300])
    codes = head.positional_encoding.all()
    assert torch.equal(codes[proposals], head.positional_encoding.of(proposals))
    assert len(codes.unique(dim=0)) == SPATIAL.voxels
    volume = head.assembled(proposals, head.queries(proposals))
    assert torch.equal(volume[proposals], codes[proposals] + head.bev_embed.weight)
    assert torch.equal(volume[6], codes[6] + head.mask_embed.weight[0])
