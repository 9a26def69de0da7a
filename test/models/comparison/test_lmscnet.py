"""LMSCNet: shapes, gradients and the predictor, in a small size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.walls import rig_of, wall

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.comparison.lmscnet.config import SCALES, LmscNetConfig
from occdepth_ros.models.comparison.lmscnet.network import LmscNet
from occdepth_ros.stereo.occupancy import StereoOccupancy

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
CONFIG = LmscNetConfig(grid=GRID, head=4)

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


def surfaces(batch: int = 1, seed: int = 0) -> torch.Tensor:
    return (torch.rand(batch, *GRID.size, generator=torch.Generator().manual_seed(seed)) < 0.1).float()


def test_every_scale_predicts_its_share_of_the_grid() -> None:
    out = LmscNet(CONFIG)(surfaces(2))
    assert {s: tuple(t.shape) for s, t in out.items()} == {s: (2, 20, 32 // s, 32 // s, 16 // s) for s in SCALES}


def test_published_widths_on_the_benchmarks_grid() -> None:
    assert LmscNetConfig().widths == {1: 32, 2: 48, 4: 64, 8: 80}


def test_all_scales_give_all_parameters_gradients() -> None:
    network = LmscNet(CONFIG)
    loss = sum((t.square().mean() for t in network(surfaces()).values()), start=torch.zeros(()))
    loss.backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_a_window_is_a_part_of_the_whole() -> None:
    """Away from the window's edges the heads agree: context comes from all columns."""
    network = LmscNet(CONFIG).eval()
    whole = network(surfaces())
    window = network(surfaces(), window=ColumnWindow(0, 16, 16))
    for scale in SCALES:
        edge = 8 // scale
        assert window[scale].shape[2:4] == (2 * edge, 2 * edge)
    # 1 + 3 + 3 + 1 voxels: receptive field of the head around a voxel
    inner = window[1][:, :, :8, 8:]
    assert torch.allclose(inner, whole[1][:, :, :8, 24:], atol=1e-5)
    assert not torch.allclose(window[1], whole[1][:, :, :16, 16:], atol=1e-5)


def test_the_output_depends_on_all_inputs() -> None:
    network = LmscNet(CONFIG).eval()
    changed = surfaces()
    changed[0, 8:24, 8:24] = 1
    before, after = network(surfaces()), network(changed)
    assert all((before[s] != after[s]).any() for s in SCALES)


def test_training_overfits_one_scene() -> None:
    torch.manual_seed(0)
    network, volume = LmscNet(CONFIG), surfaces()
    target = (volume * 13).long()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(network(volume, scales=(1,))[1], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_wall_becomes_occupancy_at_its_depth() -> None:
    stereo = StereoOccupancy(rig_of(), GRID)
    disparity, depth = stereo.match(*wall())
    # the left margin of the left image is not visible in the right camera
    assert np.nanmedian(depth) == pytest.approx(4.0, abs=0.05)
    volume = stereo.occupied(disparity)
    assert volume.shape == GRID.size
    x = np.flatnonzero(volume.any(axis=(1, 2)))
    assert set(x) <= {18, 19, 20, 21}
    assert volume.sum() > 50


def test_large_images_are_matched_small_and_depth_keeps_their_size() -> None:
    stereo = StereoOccupancy(rig_of(), GRID, working_width=96)
    left, right = (stereo.resized(image) for image in wall())
    assert left.shape == (32, 96, 3)
    disparity, depth = stereo.match(left, right)
    assert disparity.shape == (32, 96)
    assert depth.shape == (64, 192)
