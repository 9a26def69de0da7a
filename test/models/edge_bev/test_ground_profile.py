"""Occupancy logits by height above the ground."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occdepth_ros.models.edge_bev.config import BevConfig
from occdepth_ros.models.edge_bev.formats import FORMATS, array_of
from occdepth_ros.models.edge_bev.ground_profile import COLUMNS, HIGHEST, LOWEST, NODES, SPACING, GroundProfile
from occdepth_ros.models.edge_bev.loading import load_network
from occdepth_ros.models.edge_bev.loops.ground import add_profile
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.edge_bev.readout import unfolded

X, Y, LAYERS = 4, 6, 16
SIZE = (X, Y, LAYERS)

pytestmark = pytest.mark.usefixtures("one_thread")


def logits(profile: torch.Tensor, height: torch.Tensor) -> torch.Tensor:
    """Logits by voxel, `[2 X, 2 Y, 2 LAYERS]`."""
    return unfolded(GroundProfile(8, LAYERS)(profile, height), SIZE)


@pytest.fixture
def profile() -> torch.Tensor:
    return torch.randn(X, Y, COLUMNS * NODES, generator=torch.Generator().manual_seed(0))


def test_logits_are_linear_between_the_nodes_of_their_column(profile: torch.Tensor) -> None:
    height = torch.rand(2 * X, 2 * Y, generator=torch.Generator().manual_seed(1)) * 12
    found = logits(profile, height)
    nodes = np.arange(LOWEST - SPACING, HIGHEST + 1.5 * SPACING, SPACING)
    for x, y in ((0, 0), (3, 2), (2, 7), (7, 11)):
        own = profile[x // 2, y // 2].view(COLUMNS, NODES)[2 * (x % 2) + y % 2]
        above = np.arange(2 * LAYERS) + 0.5 - float(height[x, y])
        expected = np.interp(above, nodes, np.pad(own.numpy(), 1), left=0, right=0)
        np.testing.assert_allclose(found[x, y], expected, atol=1e-5)


def test_ground_one_voxel_higher_moves_the_logits_by_one_voxel(profile: torch.Tensor) -> None:
    height = torch.full((2 * X, 2 * Y), 5.3)
    before, after = logits(profile, height), logits(profile, height + 1)
    torch.testing.assert_close(before[..., :-1], after[..., 1:], atol=1e-4, rtol=0)
    assert before.abs().max() > 0.1


def test_ground_outside_the_grid_adds_no_logits(profile: torch.Tensor) -> None:
    assert not logits(profile, torch.full((2 * X, 2 * Y), -500.0)).any()
    assert not logits(profile, torch.full((2 * X, 2 * Y), 500.0)).any()


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_compiled_loop_adds_the_same_logits(profile: torch.Tensor, dtype: torch.dtype) -> None:
    profile = profile.to(dtype)
    height = torch.rand(2 * X, 2 * Y, generator=torch.Generator().manual_seed(2)) * 60 - 14
    expected = GroundProfile(8, LAYERS)(profile, height) + 1
    found = torch.ones_like(expected)
    nodes = LAYERS, Y, np.float32(LOWEST), np.float32(SPACING)
    for first, last in ((0, 10), (10, X * Y)):
        add_profile(first, last, *nodes, array_of(profile.flatten(0, 1)), height.numpy(), found.numpy())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found != 1).any()


def test_weights_without_a_profile_load_with_a_profile_of_zeros(tmp_path: object) -> None:
    state = EdgeBev(BevConfig()).state_dict()
    assert not state["ground_profile.profile.weight"].any()
    path = f"{tmp_path}/weights.pt"
    torch.save({name: value for name, value in state.items() if not name.startswith("ground_profile.")}, path)
    network = load_network("occdepth-edge-kitti", path)
    assert not network.ground_profile.profile.weight.any()
