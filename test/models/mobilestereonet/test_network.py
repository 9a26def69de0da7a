"""MobileStereoNet: the published names, images of any size, and depth in metres."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from helpers.scenes import HEIGHT, WIDTH, scene
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CheckpointError, ModelError
from occdepth_ros.models.mobilestereonet.blocks import Hourglass, InvertedBlock, SeparableBlock
from occdepth_ros.models.mobilestereonet.depth import NETWORKS, NOMINAL_BASELINE_M, StereoNetDepth, padded
from occdepth_ros.models.mobilestereonet.network import MobileStereoNet2d, MobileStereoNet3d

pytestmark = pytest.mark.usefixtures("one_thread")


def test_sizes_are_the_published_ones() -> None:
    with torch.device("meta"):
        counts = [sum(p.numel() for p in network().parameters()) for network in (MobileStereoNet2d, MobileStereoNet3d)]
    assert counts == [2_352_706, 1_855_608]


def test_inverted_blocks_add_their_input_on_images_alone() -> None:
    flat, deep = InvertedBlock(2, 8, 8), InvertedBlock(3, 8, 8)
    for block in (flat, deep):
        torch.nn.init.zeros_(block.get_parameter(f"conv.{len(block.conv) - 1}.weight"))  # learned increments are zero
    assert torch.equal(flat(x := torch.rand(2, 8, 4, 6)), x)
    assert not deep(torch.rand(2, 8, 4, 4, 6)).any()


@pytest.mark.parametrize("dims", [2, 3])
def test_hourglasses_keep_the_shape(dims: Literal[2, 3]) -> None:
    x = torch.rand(1, 4, *(8,) * dims)
    assert Hourglass(dims, 4).eval()(x).shape == x.shape


def test_separable_blocks_end_without_a_rectifier() -> None:
    torch.manual_seed(0)
    assert (SeparableBlock(4, 8, stride=2).eval()(torch.randn(1, 4, 8, 8)) < 0).any()


@pytest.mark.parametrize("kind", [MobileStereoNet2d, MobileStereoNet3d])
def test_disparity_is_an_expectation_within_the_range(kind: type[MobileStereoNet2d | MobileStereoNet3d]) -> None:
    torch.manual_seed(0)
    network = kind(max_disparity=64).eval()
    left, right = torch.rand(2, 1, 3, 32, 64)
    with torch.inference_mode():
        all_four = network.disparities(left, right)
        final = network(left, right)
    assert [d.shape for d in all_four] == [(1, 32, 64)] * 4
    torch.testing.assert_close(all_four[-1], final)
    assert final.min() >= 0 and final.max() <= 63


def test_every_parameter_gets_a_gradient() -> None:
    network = MobileStereoNet3d(max_disparity=64)
    means = [d.mean() for d in network.disparities(*torch.rand(2, 2, 3, 32, 64))]
    torch.stack(means).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@given(st.integers(1, 100), st.integers(1, 100))
def test_padding_is_at_the_top_and_at_the_right(height: int, width: int) -> None:
    out = padded(torch.ones(1, height, width))
    assert out.shape[1] % 32 == out.shape[2] % 32 == 0
    assert out.shape[1] - height < 32 and out.shape[2] - width < 32
    assert (out[:, -height:, :width] == 1).all() and out.sum() == height * width


@pytest.mark.parametrize("size", [(370, 1226), (376, 1241), (375, 1242)])
def test_kitti_images_are_padded_as_published(size: tuple[int, int]) -> None:
    assert padded(torch.zeros(3, *size)).shape == (3, 384, 1248)


class Constant(torch.nn.Module):
    """A network that sees one disparity everywhere, but for the image's lower left corner."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        out = left.new_full((1, *left.shape[2:]), 8.0)
        out[:, -1, 0] = 16.0
        return out


@pytest.fixture
def source() -> StereoNetDepth:
    made = StereoNetDepth("mobilestereonet-2d", "random", device="cpu")
    made.network = Constant()  # type: ignore[assignment]
    return made


def test_depth_is_focal_length_times_baseline_over_disparity(source: StereoNetDepth) -> None:
    example = scene()
    depth = source(example.left, example.right, example.rig, example.grid)
    assert depth.shape == (HEIGHT, WIDTH) and depth.dtype == np.float32
    expected = example.rig.left.projection[0, 0] * example.rig.baseline / 8
    assert depth[0, 0] == pytest.approx(expected)
    assert depth[-1, 0] == pytest.approx(expected / 2)


def test_principal_points_that_differ_shift_the_disparity(source: StereoNetDepth) -> None:
    example = scene()
    right = example.rig.right.projection.copy()
    right[:, 2] += [4, 0, 0]  # the right camera's principal point lies further right: disparities are smaller
    right[0, 3] += 0.0
    rig = StereoRig(example.rig.left, replace(example.rig.right, projection=right), example.rig.reference_from_grid)
    depth = source(example.left, example.right, rig, example.grid)
    assert depth[0, 0] == pytest.approx(rig.left.projection[0, 0] * rig.baseline / (8 + 4), rel=1e-5)


def test_no_disparity_is_no_depth(source: StereoNetDepth) -> None:
    source.network = Constant()  # type: ignore[assignment]
    source.network.forward = lambda left, right: torch.zeros(1, *left.shape[2:])  # type: ignore[method-assign]
    example = scene()
    assert np.isnan(source(example.left, example.right, example.rig, example.grid)).all()


def test_published_networks_may_see_their_nominal_baseline() -> None:
    made = StereoNetDepth("mobilestereonet-3d", "random", device="cpu", baseline_m=NOMINAL_BASELINE_M)
    made.network = Constant()  # type: ignore[assignment]
    example = scene()
    depth = made(example.left, example.right, example.rig, example.grid)
    assert depth[0, 0] == pytest.approx(example.rig.left.projection[0, 0] * 0.54 / 8)


def test_weights_are_loaded_strictly(tmp_path: Path) -> None:
    state = MobileStereoNet2d().state_dict()
    save_file(state, tmp_path / "2d.safetensors")
    loaded = StereoNetDepth("mobilestereonet-2d", tmp_path / "2d.safetensors", device="cpu").network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    with pytest.raises(CheckpointError, match="not for this network"):
        StereoNetDepth("mobilestereonet-3d", tmp_path / "2d.safetensors", device="cpu")
    with pytest.raises(CheckpointError, match="needs a weights file"):
        StereoNetDepth("mobilestereonet-3d", None)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ModelError, match=f"Choose one of {', '.join(NETWORKS)}"):
        StereoNetDepth("psmnet", "random")
