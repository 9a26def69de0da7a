"""Configuration of AICNet."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.models.comparison.config import CompletionConfig


@dataclass(frozen=True)
class AicNetConfig(CompletionConfig):
    """One size of the network.

    Args:
        name, grid, n_classes: see `CompletionConfig`.
        feature: channels of the 2-D features and of the volumes at half the prediction's resolution; the volumes at a
            quarter have twice as many.
        stages: number of anisotropic modules of each branch at a quarter of the resolution, and of fusions.
        kernels: odd lengths of the convolutions that are mixed along each axis.
    """

    name: str = "aicnet-stereo"
    feature: int = 16
    stages: int = 2
    kernels: tuple[int, ...] = (3, 5, 7)
