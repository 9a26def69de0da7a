"""The query proposal network: the published names, scales and ties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from occdepth_ros.errors import CheckpointError, GridError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.qpn.config import PRESETS, QpnConfig
from occdepth_ros.models.qpn.network import QueryProposalNetwork
from occdepth_ros.models.qpn.refiner import QpnRefiner

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = QpnConfig(grid=VoxelGrid((0.0, 0.0, 0.0), (16, 24, 8), 0.2))


def test_sizes_are_the_published_ones() -> None:
    with torch.device("meta"):
        networks = {name: QueryProposalNetwork(config) for name, config in PRESETS.items()}
    assert sum(p.numel() for p in networks["qpn"].parameters()) == 339_838
    assert networks["qpn-ns"].conv_out_scale_1_2.weight.shape[:2] == (8, 24)
    names = {name: set(network.state_dict()) for name, network in networks.items()}
    assert {n.split(".")[0] for n in names["qpn"] - names["qpn-voxformer"]} == {"seg_head_1_4", "seg_head_1_8"}


def test_every_scale_is_predicted() -> None:
    out = QueryProposalNetwork(TINY)(torch.zeros(2, 16, 24, 8))
    assert {s: tuple(v.shape) for s, v in out.items()} == {
        2: (2, 2, 8, 12, 4),
        4: (2, 2, 4, 6, 2),
        8: (2, 2, 2, 3, 1),
    }


def test_the_grid_of_nuscenes_is_halved_three_times() -> None:
    with torch.inference_mode():
        assert QueryProposalNetwork(PRESETS["qpn-ns"])(torch.zeros(1, 200, 200, 16), (8,))[8].shape == (1, 2, 25, 25, 2)


def test_ties_are_free() -> None:
    network = QueryProposalNetwork(TINY).eval()
    weight, bias = (network.get_parameter(f"seg_head_1_2.conv_classes.{name}") for name in ("weight", "bias"))
    for value in (-1.0, 0.0):  # the rectifier cuts both to zero
        torch.nn.init.zeros_(weight), torch.nn.init.constant_(bias, value)
        assert not network.proposals(torch.ones(1, 16, 24, 8)).any()
    bias.data[1] = 0.5
    assert network.proposals(torch.ones(1, 16, 24, 8)).all()


def test_a_lower_threshold_proposes_more() -> None:
    torch.manual_seed(0)
    network = QueryProposalNetwork(TINY).eval()
    volume = torch.rand(1, 16, 24, 8)
    with torch.inference_mode():
        probability = network(volume, (2,))[2].softmax(1)[:, 1]
        for threshold in (0.3, 0.5, float(probability.median()) + 1e-3):
            found = network.proposals(volume, threshold)
            assert (found == (probability > threshold)).float().mean() > 0.99
        assert network.proposals(volume, 0.01).sum() > network.proposals(volume, 0.99).sum()
    with pytest.raises(ModelError, match="between 0 and 1"):
        QpnRefiner("random", device="cpu", config=TINY, threshold=1.0)


def test_context_keeps_its_position() -> None:
    """Moving the scene by a whole cell of the coarsest map moves the proposals; away from the margins."""
    torch.manual_seed(0)
    config = QpnConfig(grid=VoxelGrid((0.0, 0.0, 0.0), (256, 8, 8), 0.2))
    network = QueryProposalNetwork(config).eval()
    volume = torch.zeros(1, 256, 8, 8)
    volume[:, 120:124, 2:5, 1:3] = 1
    with torch.inference_mode():
        here, there = (network(v, (2,))[2] for v in (volume, volume.roll(8, 1)))
    assert torch.allclose(here[:, :, 30:90], there[:, :, 34:94], atol=1e-5)
    assert not torch.allclose(here[:, :, 30:90], there[:, :, 30:90], atol=1e-5)


def test_unused_parameters_are_frozen() -> None:
    network = QueryProposalNetwork(TINY)
    sum(v.mean() for v in network(torch.rand(1, 16, 24, 8)).values()).backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("heads", [(2, 4, 8), (2,)])
def test_heads_follow_from_the_weights(tmp_path: Path, heads: tuple[int, ...]) -> None:
    config = QpnConfig(grid=TINY.grid, heads=heads)
    network = QueryProposalNetwork(config).eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    refiner = QpnRefiner(tmp_path / "w.safetensors", device="cpu", config=TINY)
    occupied = np.random.default_rng(0).random(TINY.grid.size) < 0.2
    with torch.inference_mode():
        expected = network.proposals(torch.from_numpy(occupied).float()[None])[0].numpy()
    assert refiner.network.config.heads == heads
    assert (refiner(occupied, TINY.grid) == expected).mean() > 0.999


def test_other_weights_and_grids_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="not weights of a query proposal network"):
        QpnRefiner(tmp_path / "w.safetensors", device="cpu")
    refiner = QpnRefiner("random", device="cpu", config=TINY)
    with pytest.raises(GridError, match="the origin is arbitrary"):
        refiner(np.zeros((8, 8, 8), bool), VoxelGrid((0, 0, 0), (8, 8, 8), 0.2))
    with pytest.raises(GridError, match="multiples of 8"):
        QpnConfig(grid=VoxelGrid((0, 0, 0), (12, 8, 8), 0.2))
    with pytest.raises(ModelError, match="Use 2"):
        QpnConfig(heads=(4,))
