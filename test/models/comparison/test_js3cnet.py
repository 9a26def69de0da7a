"""JS3C-Net: sparse against dense convolution, point-voxel interaction, gradients and the predictor."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.walls import surface_of
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.models.comparison.js3cnet.interaction import PointVoxelInteraction, cell_corners
from occdepth_ros.models.comparison.js3cnet.network import Js3cNet
from occdepth_ros.models.comparison.js3cnet.sparse import SiteNorm, Sites, SparseUNet, SubmanifoldConv
from occdepth_ros.models.comparison.surface import MatchedSurface

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
CONFIG = Js3cNetConfig(grid=GRID, widths=(4, 6, 8), feature=4)

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


@pytest.fixture(scope="module")
def surface() -> MatchedSurface:
    return surface_of(GRID)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), share=st.floats(0, 1))
def test_a_submanifold_convolution_is_the_dense_one_where_there_are_sites(seed: int, share: float) -> None:
    size = (6, 5, 4)
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.rand(size, generator=generator) < share
    sites, _ = Sites.of(occupied.flatten().nonzero()[:, 0], size)
    layer = SubmanifoldConv(3, 4).eval()
    rows = torch.randn(len(sites.voxel), 3, generator=generator)
    volume = torch.zeros(occupied.numel(), 3)
    volume[sites.voxel] = rows
    kernel = layer.linear.weight.view(4, 3, 3, 3, 3).permute(0, 4, 1, 2, 3)
    dense = torch.nn.functional.conv3d(volume.view(1, *size, 3).movedim(-1, 1), kernel, padding=1)
    expected = torch.relu(dense[0].flatten(1).T[sites.voxel] / (1 + layer.norm.eps) ** 0.5)
    assert torch.allclose(layer(rows, sites.neighbours()), expected, atol=1e-5)


def test_sites_repeat_nowhere_and_halve_with_the_grid() -> None:
    sites, site = Sites.of(torch.tensor([9, 2, 9, 63]), (4, 4, 4))
    assert sites.voxel.tolist() == [2, 9, 63]
    assert site.tolist() == [1, 0, 1, 2]
    # (0,0,2), (0,2,1) and (3,3,3)
    coarse, parent = sites.coarser()
    assert coarse.size == (2, 2, 2)
    assert coarse.voxel[parent].tolist() == [1, 2, 7]


def test_context_spreads_across_levels_but_not_across_gaps() -> None:
    """Sites in equal or adjacent coarsest voxels influence each other; sites farther apart do not."""
    size = (32, 32, 32)
    near = torch.tensor([0, 1])
    network = SparseUNet((4, 4, 4, 4)).eval()
    for other, meets in ((6, True), (32**3 - 1, False)):
        sites, _ = Sites.of(torch.cat([near, torch.tensor([other])]), size)
        rows = torch.randn(3, 4, requires_grad=True)
        (grad,) = torch.autograd.grad(network(rows, sites)[0].sum(), rows)
        assert bool((grad[2] != 0).any()) is meets


def test_a_single_site_is_normalised_by_running_statistics() -> None:
    norm = SiteNorm(2)
    x = torch.tensor([[3.0, -1.0]])
    assert torch.allclose(norm(x), x / (1 + norm.eps) ** 0.5)
    assert norm(x[:0]).shape == (0, 2)
    assert torch.allclose(norm(torch.cat([x, -x])).mean(dim=0), torch.zeros(2), atol=1e-6)


def test_a_point_reads_the_eight_centres_around_it() -> None:
    index, offset = cell_corners(torch.tensor([[1.2, 2.7, 0.1], [5.9, 0.2, 3.9]]), (6, 5, 4))
    corners = torch.stack(torch.unravel_index(index[0], (6, 5, 4)), dim=1)
    assert {tuple(c) for c in corners.tolist()} == {(0, 2, 0), (0, 3, 0), (1, 2, 0), (1, 3, 0)}
    assert index[1].max() < 120
    # at the upper edge the last centre alone is left, half an edge inside
    assert set(torch.unravel_index(index[1], (6, 5, 4))[0].tolist()) == {5}
    assert offset[0].abs().max() <= 1
    assert torch.allclose(offset[0, :, 0].unique(), torch.tensor([-0.7, 0.3]))


def test_interaction_attends_and_is_local() -> None:
    module = PointVoxelInteraction(3)
    volume = torch.randn(1, 3, 6, 5, 4, requires_grad=True)
    shape = module(volume, torch.tensor([[2.5, 2.5, 2.0]]))
    assert shape.shape == (1, 3)
    (grad,) = torch.autograd.grad(shape.sum(), volume)
    felt = (grad[0] != 0).any(dim=0).nonzero()
    assert len(felt)
    assert ((felt[:, 0] - 2).abs() <= 1).all() and set(felt[:, 2].tolist()) <= {1, 2}


def test_output_shapes_of_points_and_voxels(surface: MatchedSurface) -> None:
    network = Js3cNet(CONFIG).eval()
    with torch.inference_mode():
        out = network(surface)
        part = network(surface, ColumnWindow(8, 16, 16), interact=True)
    assert out.completion.shape == (1, 20, *GRID.size)
    assert out.points.shape == (len(surface.points), 20)
    assert out.refined is None
    # two voxels along the inner edges of the window, the head sees nothing beyond it
    assert part.completion.shape == (1, 20, 16, 16, GRID.size[2])
    assert torch.allclose(part.completion[:, :, 2:-2, 2:], out.completion[:, :, 10:22, 18:], atol=1e-5)
    assert part.refined is not None and part.refined.shape == out.points.shape


def test_all_parameters_get_gradients(surface: MatchedSurface) -> None:
    network = Js3cNet(CONFIG)
    out = network(surface, interact=True)
    assert out.refined is not None
    (out.completion.square().mean() + out.points.square().mean() + out.refined.square().mean()).backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_the_interaction_gives_the_completion_gradients(surface: MatchedSurface) -> None:
    network = Js3cNet(CONFIG)
    refined = network(surface, interact=True).refined
    assert refined is not None
    refined.square().mean().backward()
    for module in (network.join, network.context, network.segment):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_points_matter_and_colour_does_not(surface: MatchedSurface) -> None:
    network = Js3cNet(CONFIG).eval()
    none = replace(surface, points=surface.points[:0], voxel=surface.voxel[:0], pixel=surface.pixel[:0])
    with torch.inference_mode():
        before = network(surface).completion
        torch.testing.assert_close(before, network(replace(surface, image=surface.image.flip(2))).completion)
        empty = network(none, interact=True)
    assert empty.completion.isfinite().all()
    assert empty.points.shape == (0, 20)
    assert not torch.allclose(before, empty.completion)
