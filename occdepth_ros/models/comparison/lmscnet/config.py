"""Sizes of LMSCNet, as data."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.models.comparison.config import CompletionConfig

SCALES = (8, 4, 2, 1)
"""Resolutions at which the network predicts, coarsest first: the voxel edge over that of the input."""


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
        """Channels of the 2-D encoder by scale: the voxels of a column at full size, half as many more per halving."""
        column = self.grid.size[2]
        return {scale: column * (2 + level) // 2 for level, scale in enumerate(reversed(SCALES))}
