"""The bird's-eye-view architecture for inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from occdepth_ros.models.edge_bev.completion import BevUNet
from occdepth_ros.models.edge_bev.formats import FORMATS
from occdepth_ros.models.edge_bev.image_network import ImageNetwork
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.edge_bev.optimized.completion import OptimizedCompletion
from occdepth_ros.models.edge_bev.optimized.fused_networks import OptimizedImageNetwork, OptimizedUNet
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.scene_inputs import SceneInputs
from occdepth_ros.models.runtime.parallel import Workers


class OptimizedEdgeBev(nn.Module):
    """The whole network on a CPU; its buffers are those of the reference.

    Args:
        network: the reference module, in evaluation mode.
        dtype: one of `formats.FORMATS`.
        workers: threads that compute parts of a scene.
        quantized: whether the bird's-eye view is computed in 8-bit numbers.
    """

    limits: torch.Tensor
    calibration: torch.Tensor
    inverse_depth_error: torch.Tensor

    def __init__(self, network: EdgeBev, dtype: torch.dtype, workers: Workers, *, quantized: bool = False) -> None:
        super().__init__()
        self.image_network = OptimizedImageNetwork(network.image_network, dtype, workers)
        self.completion = OptimizedCompletion(network, dtype, workers, quantized=quantized)
        for name, buffer in network.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def forward(self, images: torch.Tensor, scenes: list[SceneInputs]) -> list[BevOutput]:
        """Predict as `EdgeBev.forward`."""
        logits, features = self.image_network(images)
        return [self.begin(logits[i : i + 1], features[i : i + 1])(scene) for i, scene in enumerate(scenes)]

    def begin(self, logits: torch.Tensor, features: torch.Tensor) -> Callable[[SceneInputs], BevOutput]:
        """See `EdgeBev.begin`."""
        maps = self.completion.maps(logits[0], features[0])
        return lambda scene: cast(BevOutput, self.completion(maps, scene))


def optimized(
    network: EdgeBev,
    dtype: torch.dtype,
    workers: Workers | None = None,
    device: torch.device | str = "cpu",
    *,
    quantized: bool = False,
) -> EdgeBev | OptimizedEdgeBev:
    """Return the optimized network, with equal results up to rounding; requires and consumes networks in evaluation
    mode.

    Norms, activations and sums are fused into the convolutions. On a CPU with one of `formats.FORMATS`, compiled loops
    replace the operations on voxels.

    Args:
        network: reference modules.
        dtype: number format.
        workers: threads that compute parts of a scene on a CPU; None = the calling thread.
        device: device on which the network will run.
        quantized: whether a CPU computes the bird's-eye view in 8-bit numbers, which is less accurate.
    """
    if torch.device(device).type == "cpu" and dtype in FORMATS:
        return OptimizedEdgeBev(network, dtype, workers or Workers(0), quantized=quantized)
    network.image_network = cast(ImageNetwork, OptimizedImageNetwork(network.image_network, dtype))
    network.unet = cast(BevUNet, OptimizedUNet(network.unet, dtype))
    return network
