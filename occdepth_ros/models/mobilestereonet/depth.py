"""MobileStereoNet as a depth source, for images of any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.images import normalize
from occdepth_ros.models.loading.weights import with_weights
from occdepth_ros.models.mobilestereonet.network import (
    MULTIPLE,
    MobileStereoNet,
    MobileStereoNet2d,
    MobileStereoNet3d,
)
from occdepth_ros.models.monoocc.proposals.source import Depth
from occdepth_ros.models.predictor import ImageArray
from occdepth_ros.models.runtime.device import pick_device
from occdepth_ros.models.runtime.memory import memory_guard

NETWORKS: dict[str, type[MobileStereoNet2d] | type[MobileStereoNet3d]] = {
    "mobilestereonet-2d": MobileStereoNet2d,
    "mobilestereonet-3d": MobileStereoNet3d,
}
"""The networks by name."""
MIN_DISPARITY = 1e-3
"""Largest disparity without depth, pixels."""
NOMINAL_BASELINE_M = 0.54
"""Baseline with which the published depth of KITTI was computed, metres; the true baselines are 0.4 to 1.4 %
shorter."""


class StereoNetDepth:
    """MobileStereoNet with loaded weights on one device; a `DepthSource`.

    Args:
        name: a key of `NETWORKS`.
        weights: a weights file, or "random".
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".
        baseline_m: replaces the rig's baseline, metres, to reproduce the training of published networks
            (`NOMINAL_BASELINE_M`); None = the rig's.

    Raises:
        ModelError: the name or the device does not exist, or the device has too little memory.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(
        self, name: str, weights: Path | str | None, *, device: str = "auto", baseline_m: float | None = None
    ) -> None:
        if name not in NETWORKS:
            raise ModelError(
                f"there is no stereo network {name!r}", where="depth", remedy=f"Choose one of {', '.join(NETWORKS)}."
            )
        self.name, self.device, self._baseline_m = name, pick_device(device), baseline_m
        make: Callable[[], MobileStereoNet] = NETWORKS[name]
        network = with_weights(lambda _: make(), name, weights)
        with memory_guard(name, self.device):
            self.network = network.eval().requires_grad_(False).to(self.device)

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Depth:
        """See `DepthSource`; every pixel of the rig's image with a positive disparity has depth.

        Raises:
            ModelError: the device ran out of memory.
        """
        shift = self.disparity(left, right) - rig.disparity_offset
        focal_baseline = rig.left.projection[0, 0] * (self._baseline_m or rig.baseline)
        found = shift > MIN_DISPARITY
        return (focal_baseline / np.where(found, shift, np.nan)).astype(np.float32)

    @torch.inference_mode()
    def disparity(self, left: ImageArray, right: ImageArray) -> Depth:
        """Return the disparity of the left image, `[H, W]` pixels, from a pair of `[H, W, 3]` RGB uint8.

        Raises:
            ModelError: the device ran out of memory.
        """
        with memory_guard(self.name, self.device):
            pair = padded(normalize(torch.from_numpy(np.stack([left, right])).to(self.device)))
            whole = self.network(pair[:1], pair[1:])[0]
            height, width = left.shape[:2]
            return np.asarray(whole[whole.shape[0] - height :, :width].cpu().numpy())


def padded(images: torch.Tensor) -> torch.Tensor:
    """Pad `[..., H, W]` with zeros at the top and at the right, until both sides are multiples of 32."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % MULTIPLE, -height % MULTIPLE, 0))
