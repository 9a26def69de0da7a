"""Proposals by the query proposal network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from occdepth_ros.errors import CheckpointError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.loading.state import read_state
from occdepth_ros.models.loading.weights import RANDOM, with_weights
from occdepth_ros.models.monoocc.proposals.source import Proposals, Volume
from occdepth_ros.models.qpn.config import PRESETS, QpnConfig
from occdepth_ros.models.qpn.network import QueryProposalNetwork
from occdepth_ros.models.runtime.device import pick_device
from occdepth_ros.models.runtime.inference import channels_last
from occdepth_ros.models.runtime.memory import memory_guard


class QpnRefiner:
    """Computes proposals from occupied voxels by the query proposal network.

    Args:
        weights: weights file of the network, with or without the coarser heads, or "random".
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".
        config: configuration of the network; the weights determine the heads.
        threshold: probability above which a voxel is proposed, within (0, 1); 0.5 as published.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
        ModelError: the device does not exist or has too little memory, or the threshold is no probability.
    """

    def __init__(
        self, weights: Path | str, *, device: str = "auto", config: QpnConfig | None = None, threshold: float = 0.5
    ) -> None:
        if not 0 < threshold < 1:
            raise ModelError(f"{threshold} is not between 0 and 1", where="threshold", remedy="Give a probability.")
        self._threshold = threshold
        config = config or PRESETS["qpn"]
        if str(weights) != RANDOM:
            config = replace(config, heads=_heads(Path(weights)))
        self.device = pick_device(device)
        self.name = config.name
        network = with_weights(lambda _: QueryProposalNetwork(config), config.name, weights)
        with memory_guard(self.name, self.device):
            self.network = channels_last(network.eval().requires_grad_(False).to(self.device))

    @torch.inference_mode()
    def __call__(self, occupied: Volume, grid: VoxelGrid) -> Proposals:
        """Compute proposals `[X/2, Y/2, Z/2]` from occupied voxels `[X, Y, Z]`.

        Raises:
            GridError: the grid does not match the network.
            ModelError: the device ran out of memory.
        """
        self.network.config.check_grid(grid)
        with memory_guard(self.name, self.device):
            volume = torch.from_numpy(occupied).to(self.device, torch.float32)[None]
            proposals: Proposals = self.network.proposals(volume, self._threshold)[0].cpu().numpy()
        return proposals


def _heads(weights: Path) -> tuple[int, ...]:
    """Return the scales of the heads in a weights file.

    Raises:
        CheckpointError: there is no head at half the resolution.
    """
    names = read_state(weights)
    heads = tuple(scale for scale in (2, 4, 8) if f"seg_head_1_{scale}.conv0.weight" in names)
    if 2 not in heads:
        raise CheckpointError(
            "these are not weights of a query proposal network",
            where=str(weights),
            remedy="Give weights that `occdepth train --recipe qpn` or `occdepth weights convert` wrote.",
        )
    return heads
