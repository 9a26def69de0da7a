"""Configuration of LMSCNet."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.models.comparison.config import CompletionConfig

SCALES = (8, 4, 2, 1)
"""Output scales of the network, coarsest first: ratio of the voxel edge to that of the input."""


@dataclass(frozen=True)
class LmscNetConfig(CompletionConfig):
    """One size of the network.

    Args:
        name, grid, n_classes: see `CompletionConfig`; the input has the same voxels.
        head: channels inside the 3-D heads.
    """

    name: str = "lmscnet-stereo"
    head: int = 8

    @property
    def widths(self) -> dict[int, int]:
        """Channels of the 2-D encoder by scale: the number of layers at full size, plus half of it per halving."""
        column = self.grid.size[2]
        return {scale: column * (2 + level) // 2 for level, scale in enumerate(reversed(SCALES))}
