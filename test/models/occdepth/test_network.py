"""OccDepth's modules: parameter names and counts, output shapes, gradients and options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.networks.occdepth import tiny, views

from occdepth_ros.errors import GridError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.layers.bottleneck import Downsample, Process
from occdepth_ros.models.layers.upsample import Upsample3d
from occdepth_ros.models.occdepth.config import PRESETS, DepthBins
from occdepth_ros.models.occdepth.crp import ContextPrior
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import OccDepth

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("name", "entries", "parameters"),
    [
        ("occdepth-b3", 1264, 40_859_886),
        ("occdepth-b7", 1890, 150_581_846),
        ("occdepth-b7-flosp", 1834, 149_558_254),
        ("occdepth-mono", 1167, 36_695_828),
        ("occdepth-nyu-b4", 1236, 56_421_100),
        ("occdepth-nyu-b7", 1825, 298_347_156),
    ],
)
def test_presets_have_the_published_sizes(name: str, entries: int, parameters: int) -> None:
    with torch.device("meta"):
        network = OccDepth(PRESETS[name])
    state = network.state_dict()
    assert len(state) == entries
    assert sum(p.numel() for p in network.parameters()) == parameters
    groups = {key.partition(".")[0] for key in state}
    depth = {"flosp_depth"} if PRESETS[name].depth else set()
    assert groups == {"net_3d_decoder", "net_rgb"} | depth


def test_small_presets_differ_from_each_other_as_the_published_ones_do() -> None:
    def traits(name: str) -> tuple[object, ...]:
        config = PRESETS[name]
        return config.views, config.fusion, config.depth is not None, config.crp, config.cascade

    pairs = {
        "occdepth-small": "occdepth-b7",
        "monoscene-stereo-small": "monoscene-stereo",
        "monoscene-small": "monoscene",
    }
    assert {name: traits(name) for name in pairs} == {name: traits(other) for name, other in pairs.items()}
    common = {replace(PRESETS[n], name="", views=2, fusion="mean", depth=None, cascade=False) for n in pairs}
    assert len(common) == 1
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in OccDepth(PRESETS[name]).parameters()) for name in pairs}
    assert max(sizes.values()) < 8_000_000


@pytest.mark.parametrize("width", [0.0, 1.5])
def test_a_decoder_width_outside_0_to_1_is_refused(width: float) -> None:
    with pytest.raises(ModelError, match="not a share"):
        tiny(decoder_width=width)


def test_small_encoder_and_narrow_decoder_get_gradients() -> None:
    config = tiny("occdepth-small")
    network = OccDepth(config)
    geometry = SceneGeometry.of_views(config, views(config), config.grid)
    out = network(torch.randn(1, 2, 3, *config.image), geometry)
    assert set(network.net_rgb.decoder.state_dict()) >= {"up2._net.0.weight"}
    assert network.net_rgb.decoder.conv2.out_channels == 320
    out.completion.logits.square().mean().backward()
    stems = network.net_rgb.encoder.original_model.conv_stem.weight.grad, network.net_rgb.decoder.conv2.weight.grad
    assert all(grad is not None and grad.abs().sum() > 0 for grad in stems)


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        state = OccDepth(PRESETS["occdepth-b3"]).state_dict()
    expected = {
        "net_3d_decoder.process_l1.1.main.downsample.1.weight": (64, 32, 1, 1, 1),
        "net_3d_decoder.up_13_l2.main.0.weight": (128, 64, 3, 3, 3),
        "net_3d_decoder.up_l1_lfull.main.0.bias": (16,),
        "net_3d_decoder.ssc_head.conv_classes.weight": (20, 18, 3, 3, 3),
        "net_3d_decoder.ssc_head.occ_classes.bias": (2,),
        "net_3d_decoder.CP_mega_voxels.context_prior_logits.3.0.weight": (512, 128, 1, 1, 1),
        "net_3d_decoder.CP_mega_voxels.resize.0.weight": (128, 1152, 1, 1, 1),
        "net_3d_decoder.CP_mega_voxels.resize.1.main.0.downsample4.2.running_var": (32,),
        "net_rgb.encoder.original_model.conv_head.weight": (1536, 384, 1, 1),
        "net_rgb.decoder.up16._net.0.weight": (768, 1672, 3, 3),
        "net_rgb.decoder.resize_output_1_16.weight": (32, 768, 1, 1),
        "flosp_depth.depth_net.0.depth_pred.weight": (104, 128, 1, 1),
        "flosp_depth.voxel_num": (3,),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected


def test_buffers_hold_the_trained_grid() -> None:
    config = replace(PRESETS["occdepth-b3"], backbone="b3", feature=8)
    oad = OccDepth(config).flosp_depth
    assert oad is not None
    assert torch.allclose(oad.voxel_size, torch.tensor([0.4, 0.4, 0.4]))
    assert torch.allclose(oad.voxel_coord, torch.tensor([0.2, -25.4, -1.8]))
    assert oad.voxel_num.tolist() == [128, 128, 16]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_forward_shapes(name: str) -> None:
    config = tiny(name, backbone="b3", occluded=True)
    network = OccDepth(config).eval()
    geometry = SceneGeometry.of_views(config, views(config), config.grid)
    images = torch.randn(2, config.images, 3, *config.image)
    with torch.inference_mode():
        out = network(images, geometry, torch.full((2, *config.image), 3.0))
    size = (32, 32, 16) if config.layout == "kitti" else (32, 16, 32)
    assert out.completion.logits.shape == (2, config.n_classes, *size)
    assert out.completion.occluded_logits.shape == (2, 2, *size)
    assert (out.completion.occupancy_logits is not None) == config.cascade
    assert (out.completion.relation_logits is not None) == config.crp
    if config.crp:
        voxels = 32 * 32 * 16 // (4 * config.project_scale) ** 3
        assert out.completion.relation_logits.shape == (2, 4, voxels // 8, voxels)
    assert (out.depth is not None) == (config.depth is not None)
    if out.depth is not None:
        assert out.depth.shape == (2, config.views, 104, 8, 12)
        assert torch.allclose(out.depth.sum(dim=2), torch.ones(()), atol=1e-5)


def test_a_scene_does_not_depend_on_its_neighbour_in_the_batch() -> None:
    config = tiny()
    network = OccDepth(config).eval()
    geometry = SceneGeometry.of_views(config, views(config), config.grid)
    images = torch.randn(2, 2, 3, *config.image)
    with torch.inference_mode():
        both = network(images, geometry).completion.logits
        second = network(images[1:], geometry).completion.logits
    assert torch.allclose(both[1:], second, atol=1e-4)


def test_views_together_equal_views_one_by_one() -> None:
    network = OccDepth(tiny()).eval()
    images = torch.randn(1, 2, 3, 64, 96)
    with torch.inference_mode():
        together = network.features(images)
        for scale, maps in together.items():
            for view in range(2):
                assert torch.allclose(maps[:, view], network.net_rgb(images[:, view])[scale], atol=1e-5)


def test_training_gives_every_used_parameter_a_finite_gradient() -> None:
    config = tiny()
    network = OccDepth(config).train()
    geometry = SceneGeometry.of_views(config, views(config), config.grid)
    out = network(torch.randn(1, 2, 3, *config.image), geometry)
    total = out.completion.logits.square().mean() + out.completion.relation_logits.square().mean()
    (total + out.completion.occupancy_logits.square().mean() + out.depth.square().mean()).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    # what published checkpoints hold but nothing uses: 7 bottlenecks of 9 tensors, an unread norm, an unread map
    assert len(without) == 67
    assert all("downsample" in n or "original_model.bn2" in n or "resize_output_1_16" in n for n in without)
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_odd_and_even_axes_of_the_context_prior() -> None:
    prior = ContextPrior(4, (5, 4, 3)).eval()
    assert prior.n_super == 2 * 2 * 1
    volume, logits = prior(torch.randn(1, 4, 5, 4, 3))
    assert volume.shape == (1, 4, 5, 4, 3)
    assert logits.shape == (1, 4, 4, 60)


def test_context_prior_sums_without_normalising() -> None:
    prior = ContextPrior(4, (4, 4, 4)).eval()
    x = torch.randn(1, 4, 4, 4, 4)
    with torch.inference_mode():
        spread = prior.aspp(x)
        context = prior.mega_context(spread).reshape(8, 8)
        parts = [x[0].reshape(4, 64).numpy()]
        for relation in prior.context_prior_logits:
            gate = 1 / (1 + np.exp(-relation(spread).reshape(8, 64).numpy()))
            parts.append(np.einsum("cm,mn->cn", context.numpy(), gate))
        joined = torch.from_numpy(np.concatenate(parts)).reshape(1, 36, 4, 4, 4)
        assert torch.allclose(prior(x)[0], prior.resize(joined), atol=1e-4)


def test_volume_layers_change_the_resolution_by_their_stride() -> None:
    x = torch.randn(1, 8, 8, 8, 4)
    assert Process(8)(x).shape == x.shape
    assert Downsample(8)(x).shape == (1, 16, 4, 4, 2)
    assert Upsample3d(8, 4)(x).shape == (1, 4, 16, 16, 8)
    assert Upsample3d(8, 4, stride=1)(x).shape == (1, 4, 8, 8, 4)


def test_finest_scale_leaves_blocks_out() -> None:
    config = tiny(scales=(4, 8), finest_scale=4)
    network = OccDepth(config).eval()
    assert not any(".up2." in name or ".up1." in name for name in network.state_dict())
    geometry = SceneGeometry.of_views(config, views(config), config.grid)
    with torch.inference_mode():
        assert network(torch.randn(1, 2, 3, 64, 96), geometry).completion.logits.isfinite().all()


@pytest.mark.parametrize(
    "options",
    [
        {"project_scale": 1, "crp": False},
        {"pattern": 5},
        {"n_relations": 2},
        {"depth": DepthBins(supervised="lid", sampling="lid")},
        {"depth": DepthBins(sampling="uniform"), "views": 1},
        {"backbone": "b5", "n_classes": 5},
    ],
)
def test_options_that_no_preset_uses_work(options: dict[str, Any]) -> None:
    config = tiny(**options)
    network = OccDepth(config).eval()
    geometry = SceneGeometry.of_views(config, views(config), config.grid)
    with torch.inference_mode():
        out = network(torch.randn(1, config.views, 3, 64, 96), geometry)
    assert out.completion.logits.shape == (1, config.n_classes, 32, 32, 16)
    assert out.completion.logits.isfinite().all()


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(ModelError, match="scale 1 is lifted"):
        tiny(finest_scale=2)
    with pytest.raises(ModelError, match="depth module"):
        tiny(finest_scale=16, scales=(16,))
    with pytest.raises(GridError, match="multiples of 8"):
        tiny(grid=VoxelGrid((0, 0, 0), (36, 32, 16), 0.2))
    with pytest.raises(ModelError, match="b9"):
        OccDepth(tiny(backbone="b9"))


def test_a_grid_of_another_size_is_refused_and_another_origin_is_not() -> None:
    config = PRESETS["occdepth-b3"]
    config.check_grid(VoxelGrid((5.0, -25.6, -1.0), (256, 256, 32), 0.2, "base_link"))
    for grid in (VoxelGrid((0, 0, 0), (128, 256, 32), 0.2), VoxelGrid((0, 0, 0), (256, 256, 32), 0.1)):
        with pytest.raises(GridError, match="origin is arbitrary"):
            config.check_grid(grid)
