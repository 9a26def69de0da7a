"""Configuration of JS3C-Net."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.models.comparison.config import CompletionConfig


@dataclass(frozen=True)
class Js3cNetConfig(CompletionConfig):
    """One size of the network.

    Args:
        name, grid, n_classes: see `CompletionConfig`.
        widths: channels of the sparse U-Net by level, finest first; every level halves the resolution, three times at
            most.
        feature: channels of the dense volume at half the prediction's resolution; twice as many at a quarter.
    """

    name: str = "js3cnet-stereo"
    widths: tuple[int, ...] = (16, 32, 48, 64)
    feature: int = 16
