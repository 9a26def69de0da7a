"""Sparse convolutions near surfaces: values and gradients of a dense convolution, and the optimized block."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.models.edge_bev.config import FINE
from occdepth_ros.models.edge_bev.evidence import CHANNELS
from occdepth_ros.models.edge_bev.optimized import surface_block
from occdepth_ros.models.edge_bev.optimized.surface_block import OptimizedSurfaceBlock
from occdepth_ros.models.edge_bev.surface import SurfaceBlock, SurfaceConv, close_to_surface, neighbours_of
from occdepth_ros.models.runtime.parallel import Workers

SIZE = (6, 5, 4)
COUNT = 120

pytestmark = pytest.mark.usefixtures("one_thread")


def some_rows(count: int, seed: int) -> torch.Tensor:
    return torch.randperm(COUNT, generator=torch.Generator().manual_seed(seed))[:count].sort().values


@given(st.integers(1, COUNT), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_a_sparse_convolution_is_a_dense_one_whose_absent_voxels_are_zero(count: int, seed: int) -> None:
    rows = some_rows(count, seed)
    torch.manual_seed(seed)
    conv = SurfaceConv(3).double()
    x = torch.randn(count, 3, dtype=torch.double, requires_grad=True)
    dense = torch.zeros(COUNT, 3, dtype=torch.double).index_copy(0, rows, x).view(*SIZE, 3).permute(3, 0, 1, 2)
    kernel = conv.linear.weight.view(3, 3, 3, 3, 3).permute(0, 4, 1, 2, 3)
    expected = F.conv3d(dense[None], kernel, conv.linear.bias, padding=1)[0].permute(1, 2, 3, 0).reshape(-1, 3)[rows]
    found = conv(x, neighbours_of(rows, SIZE))
    torch.testing.assert_close(found, expected)
    ahead = torch.randn_like(found)
    gradients = torch.autograd.grad(expected, [x, conv.linear.weight, conv.linear.bias], ahead, retain_graph=True)
    for gradient, value in zip(
        torch.autograd.grad(found, [x, conv.linear.weight, conv.linear.bias], ahead), gradients, strict=True
    ):
        torch.testing.assert_close(gradient, value)


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize(
    ("channels", "count", "direct"), [(8, 70, True), (16, 70, False), (16, 70, True), (16, 1, True)]
)
def test_the_optimized_block_agrees_with_the_reference(
    monkeypatch: pytest.MonkeyPatch, threads: int, channels: int, count: int, direct: bool
) -> None:
    monkeypatch.setattr(surface_block, "has_few_multipliers", lambda: direct)
    monkeypatch.setattr(surface_block, "DIRECT_ROWS", 33)
    torch.manual_seed(1)
    block, rows = SurfaceBlock(channels), some_rows(count, 3)
    x, neighbours = torch.randn(count, channels), neighbours_of(rows, SIZE)
    optimized = OptimizedSurfaceBlock(copy.deepcopy(block), torch.float32, Workers(threads))
    assert optimized.is_direct == (direct and channels == 16)
    with torch.inference_mode():
        torch.testing.assert_close(optimized(x, neighbours), block(x, neighbours), atol=1e-5, rtol=1e-4)


def test_without_rows_the_convolution_is_empty() -> None:
    rows = torch.zeros(0, dtype=torch.long)
    assert SurfaceBlock(4)(torch.zeros(0, 4), neighbours_of(rows, SIZE)).shape == (0, 4)


def test_voxels_on_a_surface_or_on_the_ground_are_close_to_it() -> None:
    evidence = torch.zeros(6, CHANNELS)
    evidence[:, 2 * FINE + 3] = 1  # above the ground
    evidence[:, 2 * FINE] = 1  # matched
    evidence[:, 2 * FINE + 2] = 1  # far from the surface
    evidence[:, :FINE] = -1
    evidence[1, 3] = 0.5
    evidence[2, FINE + 7] = 0.1
    evidence[3, 2 * FINE + 2] = 0.2
    evidence[4, 2 * FINE + 3] = -0.3
    # without a match the residual has no meaning
    evidence[5, 2 * FINE], evidence[5, 2 * FINE + 2] = 0, 0
    assert close_to_surface(evidence).tolist() == [1, 2, 3, 4]
