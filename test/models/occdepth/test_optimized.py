"""OccDepth's inference path against the reference network, and its parts against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.networks.occdepth import tiny, views
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from occdepth_ros.checkpoints.golden.occdepth import golden_images, golden_network
from occdepth_ros.checkpoints.golden.occdepth_file import read_golden
from occdepth_ros.errors import ModelError
from occdepth_ros.models.layers import onednn
from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.occdepth.config import PRESETS, DepthBins, OccDepthConfig
from occdepth_ros.models.occdepth.decoder import UpBlock
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.optimized.decoder import FinestBlock, sparse_pixels_of
from occdepth_ros.models.occdepth.optimized.network import OptimizedOccDepth, Precision
from occdepth_ros.models.occdepth.optimized.upsampling import TapSum, tap_weights
from occdepth_ros.models.occdepth.optimized.winograd import WinogradConv
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor
from occdepth_ros.models.runtime import memory
from occdepth_ros.models.runtime.memory import keep_freed_memory, memory_by_default

pytestmark = pytest.mark.usefixtures("one_thread")
Network = TypeVar("Network", bound=nn.Module)

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu,
    "silu": F.silu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "relu6": F.relu6,
}


def with_statistics(network: Network) -> Network:
    """Set norms with an effect, unlike those of a fresh network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.6, 1.4)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("operators", ["fused", "step by step"])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize(
    ("conv", "size"),
    [
        (nn.Conv2d(8, 16, 3, padding=1), (9, 11)),
        (Conv2dSame(8, 8, 5, stride=2, groups=8, bias=False), (9, 12)),
        (Conv2dSame(8, 8, 5, stride=2, groups=8, bias=False), (10, 12)),
        (Conv2dSame(8, 16, 3, stride=2), (6, 8)),
        (nn.Conv3d(8, 12, 3, padding=2, dilation=2), (6, 7, 5)),
        (nn.Conv3d(8, 8, (1, 1, 3), padding=(0, 0, 1), bias=False), (6, 7, 5)),
        (nn.ConvTranspose3d(8, 4, 3, 2, 1, 1), (3, 4, 2)),
    ],
)
def test_one_pass_equals_its_steps(
    conv: nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d,
    size: tuple[int, ...],
    activation: str,
    operators: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if operators == "step by step":
        monkeypatch.setattr(onednn, "is_available", lambda *_: False)
    norm = with_statistics((nn.BatchNorm2d if len(size) == 2 else nn.BatchNorm3d)(conv.out_channels))
    x = torch.randn(2, 8, *size)
    with torch.inference_mode():
        reference = norm(conv(x))
        other = torch.randn_like(reference)
        one = FusedConv(conv, norm, activation)  # type: ignore[arg-type]
        # the second call runs on weights that the first one laid out
        for _ in range(2):
            assert torch.allclose(one(x), ACTIVATIONS[activation](reference), atol=1e-5)
            assert torch.allclose(one(x, other.clone()), ACTIVATIONS[activation](reference + other), atol=1e-5)


@settings(max_examples=25)
@given(
    low=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    high=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    seed=st.integers(0, 9),
)
def test_taps_before_the_upsampling_equal_the_convolution_behind_it(
    low: tuple[int, int], high: tuple[int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, weight = torch.randn(5, *low, generator=generator), torch.randn(3, 5, 3, 3, generator=generator)
    expected = F.conv2d(F.interpolate(x[None], size=high, mode="bilinear", align_corners=True), weight, padding=1)[0]
    found = TapSum(low, high)(x.permute(1, 2, 0).flatten(0, 1) @ tap_weights(weight))
    assert torch.allclose(found.T.reshape(expected.shape), expected, atol=1e-4)


@settings(max_examples=25)
@given(size=st.tuples(st.integers(1, 14), st.integers(1, 14)), views=st.integers(1, 3), seed=st.integers(0, 9))
def test_fewer_multiplications_give_the_same_convolution(size: tuple[int, int], views: int, seed: int) -> None:
    torch.manual_seed(seed)
    conv, norm = nn.Conv2d(5, 7, 3, padding=1), with_statistics(nn.BatchNorm2d(7))
    x = torch.randn(views, 5, *size)
    with torch.inference_mode():
        expected = F.leaky_relu(norm(conv(x)), 0.01)
        assert torch.allclose(WinogradConv(conv, norm, "leaky_relu")(x), expected, atol=1e-4)


def test_the_finest_block_equals_the_map_at_the_pixels_that_voxels_read() -> None:
    torch.manual_seed(0)
    height, width = 10, 13
    block, project = with_statistics(UpBlock(6 + 3, 4)), nn.Conv2d(4, 5, 1)
    x, images = torch.randn(2, 6, 5, 7), torch.randn(2, 3, height, width)
    # corners and edges, a pixel alone, neighbours
    chosen = [torch.tensor([0, 12, 40, 41, 54, 129]), torch.tensor([7, 117])]
    sparse_pixels, row_of = sparse_pixels_of(chosen, height, width)
    with torch.inference_mode():
        whole = project(block(x, images))
        rows = FinestBlock(block, 6, project, torch.float32)(x, images, sparse_pixels)
    for view, pixels in enumerate(chosen):
        assert torch.allclose(rows[row_of[view][pixels]], whole[view].flatten(1).T[pixels], atol=1e-4)
        assert int((row_of[view] >= 0).sum()) == len(pixels)


def agreement(config: OccDepthConfig, precision: Precision) -> tuple[float, float]:
    """Share of equal labels, and the largest difference of the logits in their deviations."""
    torch.manual_seed(0)
    network = with_statistics(OccDepth(config))
    geometry = SceneGeometry.of_views(config, views(config), config.grid)
    images, depth_image = torch.randn(1, config.images, 3, *config.image), torch.full((1, *config.image), 3.0)
    optimized = OptimizedOccDepth(network, precision)
    with torch.inference_mode():
        reference = network(images, geometry, depth_image)
        logits, depth = optimized(images[0], optimized.tables(geometry), depth_image)
    expected = reference.completion.logits
    assert len(expected.argmax(1).unique()) > 1
    assert (depth is None) == (reference.depth is None)
    if depth is not None:
        assert torch.allclose(depth, reference.depth, atol=1e-5 if precision != "bfloat16" else 1e-2)
    equal = float((logits.argmax(1) == expected.argmax(1)).float().mean())
    return equal, float((logits.float() - expected).abs().max() / expected.std())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_equals_the_reference_network(name: str) -> None:
    backbone = PRESETS[name].backbone
    equal, difference = agreement(tiny(name, backbone=backbone if backbone == "lite0" else "b3"), "float32")
    assert equal >= 0.999
    assert difference < 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"pattern": 5},
        {"project_scale": 1, "crp": False},
        {"depth": DepthBins(sampling="uniform"), "views": 1},
        {"scales": (2, 8), "finest_scale": 2, "fusion": "mean"},
        {"scales": (1, 4), "depth": None},
        {"occluded": True, "n_relations": 2},
    ],
)
def test_options_that_no_preset_uses_equal_the_reference_network(options: dict[str, Any]) -> None:
    equal, difference = agreement(tiny(backbone="lite0", decoder_width=0.25, **options), "float32")
    assert equal >= 0.999
    assert difference < 1e-3


def test_operators_without_a_public_name_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "is_available", lambda *_: False)
    equal, difference = agreement(tiny(), "float32")
    assert equal >= 0.999
    assert difference < 1e-3


@pytest.mark.parametrize("precision", ["mixed", "bfloat16"])
def test_lower_precision_keeps_nearly_all_labels(precision: Precision) -> None:
    equal, difference = agreement(tiny(), precision)
    assert equal >= 0.99
    assert 0 < difference < 0.2


@pytest.mark.golden
@pytest.mark.parametrize("name", ["occdepth_b3", "occdepth_mono"])
def test_the_inference_path_computes_the_golden_labels(golden_dir: Path, name: str) -> None:
    golden = read_golden(golden_dir / f"{name}.npz")
    optimized = OptimizedOccDepth(golden_network(golden).requires_grad_(False))
    tables = optimized.tables(SceneGeometry.of_views(golden.config, golden.views, golden.config.grid))
    with torch.inference_mode():
        logits, _ = optimized(golden_images(golden, None)[0], tables)
    assert float((logits[0].argmax(0).numpy() == golden.arrays["labels"]).mean()) >= 0.999


def test_compilation_is_for_cuda() -> None:
    with pytest.raises(ModelError, match="CUDA"):
        OccDepthPredictor(name="occdepth-small", weights="random", device="cpu", compile=True)


def test_memory_is_kept_on_cpus_only() -> None:
    keep_freed_memory(torch.device("cuda"))
    keep_freed_memory(torch.device("cpu"))
    assert torch.zeros(1 << 24).sum() == 0


def test_memory_is_managed_by_default_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(memory, "_of_glibc", lambda name: lambda *values: calls.append(values))
    monkeypatch.setattr(memory, "_kept", False)
    with memory_by_default():
        assert not calls  # nothing was changed that could be set back
    keep_freed_memory(torch.device("cpu"))
    kept = list(calls)
    with memory_by_default():
        assert set(memory.DEFAULTS.items()) <= set(calls[len(kept) :])
    assert calls[-len(kept) :] == kept


def test_images_of_another_size_get_tables_of_their_own() -> None:
    config = tiny(backbone="lite0", decoder_width=0.25)
    network = with_statistics(OccDepth(config))
    optimized = OptimizedOccDepth(network)
    for height, width in ((64, 96), (48, 80), (64, 96)):
        sized = replace(config, image=(height, width))
        geometry = SceneGeometry.of_views(sized, views(sized), sized.grid)
        images = torch.randn(1, 2, 3, height, width)
        network.config = optimized.config = sized
        with torch.inference_mode():
            logits, _ = optimized(images[0], optimized.tables(geometry))
            expected = network(images, geometry).completion.logits
        assert np.allclose(logits.numpy(), expected.numpy(), atol=1e-3)
