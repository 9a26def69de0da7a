"""MonoOcc's second stage: the whole network in a small size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.networks.monoocc import TINY, by_grid_sample, random_proposals, references, shaken

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.monoocc import layers
from occdepth_ros.models.monoocc.attention import PointAttention, SelfAttention
from occdepth_ros.models.monoocc.config import PRESETS, MonoOccConfig
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.reference import reference_logits
from occdepth_ros.models.monoocc.upsampled_head import UpsampledHead

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


def test_merged_points_equal_two_passes_over_equal_copies() -> None:
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


def small_network(**changes: object) -> MonoOcc:
    return MonoOcc(replace(TINY, **changes))  # type: ignore[arg-type]


def test_chunks_and_shared_rows_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    network = shaken(small_network()).eval()
    assert isinstance(network, MonoOcc)
    images = torch.randn(1, 3, 64, 192)
    whole = network(images, references(), random_proposals())
    monkeypatch.setitem(layers.CHUNK, "cpu", 100)
    with torch.inference_mode():
        assert torch.allclose(whole, network(images, references(), random_proposals()), atol=1e-4)
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
def test_no_voxel_or_every_voxel_may_be_a_proposal(proposed: torch.Tensor) -> None:
    with torch.inference_mode():
        logits = small_network().eval()(torch.randn(1, 3, 64, 192), references(), proposed)
    assert logits.shape == (20, 32, 32, 16)
    assert logits.isfinite().all()


def test_the_reference_formulation_gives_equal_logits() -> None:
    network = shaken(small_network(cross_layers=2)).eval()
    assert isinstance(network, MonoOcc)
    images = torch.randn(1, 3, 64, 192)
    with torch.inference_mode():
        ours = network(images, references(), random_proposals())
        reference = reference_logits(network, images, references(), random_proposals())
    assert torch.allclose(ours, reference, atol=1e-4)
    assert float(ours.std()) > 0.1


def test_every_parameter_gets_a_gradient() -> None:
    network = small_network(cameras=2, cross_view=True)
    shaken(network)
    features = network.features(torch.randn(2, 3, 64, 192))
    volumes = network.volumes(features, references(2), random_proposals())
    loss = network.pts_bbox_head.classify(volumes.last).square().mean()
    loss = loss + network.pts_bbox_head.sem_decoder(features).square().mean()
    loss.backward()
    idle = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert idle == []


def test_invisible_queries_get_the_output_bias_and_many_images_their_mean() -> None:
    transformer = layers.CrossTransformer(replace(TINY, cameras=2), 1)
    attention: Any = transformer.get_submodule("encoder.layers.0.attentions.0").eval()
    queries, values = torch.randn(3, 16), torch.randn(4, 6, 16)
    table = attention.deformable_attention.table(values)
    point = torch.tensor([[0.5, 0.5]])
    first, none = (torch.tensor([0]), point), (torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2))
    once = attention(queries, [table], [first])
    assert torch.allclose(once[1:], queries[1:] + attention.output_proj.bias)
    assert not torch.allclose(once[0], queries[0] + attention.output_proj.bias)
    assert torch.allclose(attention(queries, [table, table], [first, first]), once, atol=1e-6)
    assert torch.allclose(attention(queries, [table, table], [first, none]), once, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "parameters"),
    # counts of the specification without the parts that are not computed
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
def test_a_subset_of_voxels_has_the_features_of_the_whole_volume(config: MonoOccConfig) -> None:
    network = shaken(MonoOcc(replace(config, semantic=False))).eval()
    assert isinstance(network, MonoOcc)
    head, images = network.pts_bbox_head, torch.randn(1, 3, 64, 192)
    window = ColumnWindow(8, 16, 16)
    requested = head.needed(window)
    with torch.no_grad():
        features = network.features(images)
        whole = network.volumes(features, references(), random_proposals()).last
        part = network.volumes(features, references(), random_proposals(), requested).last
        assert len(part) < len(whole) / 2
        assert torch.allclose(part, whole[requested], atol=1e-4)
        assert torch.allclose(head.classify_window(part, window), window.crop(head.classify(whole)), atol=1e-3)


def test_labels_equal_the_maximum_of_all_logits() -> None:
    head = shaken(UpsampledHead(6, 5))
    assert isinstance(head, UpsampledHead)
    volume = torch.randn(3, 2, 5, 6)
    with torch.no_grad():
        probability = head(volume).softmax(0)
        labels, confidence = head.read_out(volume)
    assert labels.dtype == confidence.dtype == torch.uint8
    assert (labels == probability.argmax(0)).float().mean() > 0.98
    assert (confidence.float() - 255 * probability.amax(0)).abs().max() < 0.51


def test_initial_offsets_point_at_neighbours_where_rows_are_planes() -> None:
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


def test_placed_voxels_start_with_their_position_code() -> None:
    head = MonoOcc(SPATIAL).pts_bbox_head
    assert head.bev_embed.weight.shape == (1, 16)
    proposals = torch.tensor([5, 200, 300])
    codes = head.positional_encoding.all()
    torch.testing.assert_close(codes[proposals], head.positional_encoding.of(proposals))
    assert len(codes.unique(dim=0)) == SPATIAL.voxels
    volume = head.assembled(proposals, head.queries(proposals))
    torch.testing.assert_close(volume[proposals], codes[proposals] + head.bev_embed.weight)
    torch.testing.assert_close(volume[6], codes[6] + head.mask_embed.weight[0])
