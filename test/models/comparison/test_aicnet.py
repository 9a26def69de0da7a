"""AICNet: anisotropic modules, dependence on the inputs, gradients and the predictor."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.walls import surface_of

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.comparison.aicnet.anisotropic import AnisotropicModule
from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.aicnet.network import AicNet
from occdepth_ros.models.comparison.surface import MatchedSurface

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
CONFIG = AicNetConfig(grid=GRID, feature=4)

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


@pytest.fixture(scope="module")
def surface() -> MatchedSurface:
    return surface_of(GRID)


def test_every_voxel_weighs_the_lengths_of_every_axis() -> None:
    module = AnisotropicModule(4, kernels=(3, 5))
    x = torch.randn(2, 4, 5, 6, 7)
    weights = module.modulation(x)
    assert weights.shape == (2, 3, 2, 5, 6, 7)
    assert torch.allclose(weights.sum(dim=2), torch.ones(2, 3, 5, 6, 7))
    assert weights.std(dim=(3, 4, 5)).min() > 0


@pytest.mark.parametrize(("chosen", "reach"), [(0, 1), (1, 2)])
def test_the_chosen_length_sets_the_reach_along_each_axis(chosen: int, reach: int) -> None:
    """With one length chosen everywhere, a voxel feels exactly the box of that many voxels around it."""
    module = AnisotropicModule(4, kernels=(3, 5)).eval()
    with torch.no_grad():
        module.factors.weight.zero_()
        module.get_parameter("factors.bias").copy_(torch.tensor([1e4, 0.0] if chosen == 0 else [0.0, 1e4]).repeat(3))
    x = torch.rand(1, 4, 9, 9, 9, requires_grad=True)
    felt = torch.zeros(9, 9, 9, dtype=torch.bool)
    for channel in range(4):
        (grad,) = torch.autograd.grad(module.expand[0](_inner(module, x))[0, channel, 4, 4, 4], x)
        felt |= (grad[0] != 0).any(dim=0)
    box = torch.zeros(9, 9, 9, dtype=torch.bool)
    box[(slice(4 - reach, 5 + reach),) * 3] = True
    assert torch.equal(felt & ~box, torch.zeros_like(felt))
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        assert felt.any(dim=others).nonzero().flatten().tolist() == list(range(4 - reach, 5 + reach))


def _inner(module: AnisotropicModule, x: torch.Tensor) -> torch.Tensor:
    """Input of the expansion of the module."""
    held: list[torch.Tensor] = []
    handle = module.expand.register_forward_pre_hook(lambda _, inputs: held.append(inputs[0]))
    module(x)
    handle.remove()
    return held[0]


def test_it_predicts_every_voxel_and_a_window_is_a_part_of_it(surface: MatchedSurface) -> None:
    network = AicNet(CONFIG).eval()
    with torch.inference_mode():
        whole = network(surface)
        part = network(surface, ColumnWindow(8, 16, 16))
    assert whole.shape == (1, 20, *GRID.size)
    # two voxels along the inner edges of the window, the head sees nothing beyond it
    assert part.shape == (1, 20, 16, 16, GRID.size[2])
    assert torch.allclose(part[:, :, 2:-2, 2:], whole[:, :, 10:22, 18:], atol=1e-5)


def test_features_are_lifted_to_the_voxels_of_their_matched_pixels(surface: MatchedSurface) -> None:
    network = AicNet(CONFIG)
    ones = torch.ones(1, 1, *surface.depth.shape)
    volume = network.lift(ones, surface)[0, 0]
    hit_voxels = torch.zeros(GRID.count)
    hit_voxels[surface.voxel] = 1
    coarse = torch.nn.functional.max_pool3d(hit_voxels.view(1, 1, *GRID.size), 2)[0, 0]
    torch.testing.assert_close(volume, coarse)
    assert 0 < coarse.mean() < 1


def test_all_parameters_get_gradients(surface: MatchedSurface) -> None:
    network = AicNet(CONFIG)
    network(surface).square().mean().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_the_output_depends_on_colour_and_depth(surface: MatchedSurface) -> None:
    network = AicNet(CONFIG).eval()
    with torch.inference_mode():
        before = network(surface)
        for changed in (
            replace(surface, image=surface.image.flip(2)),
            replace(surface, depth=surface.depth * 2),
            replace(surface, points=surface.points[:0], voxel=surface.voxel[:0], pixel=surface.pixel[:0]),
        ):
            after = network(changed)
            assert after.isfinite().all()
            assert not torch.allclose(before, after)
