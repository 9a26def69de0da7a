"""Point-voxel interaction (Yan et al., AAAI 2021): points gather features of the completed volume around them."""

from __future__ import annotations

import torch
from torch import nn

CORNERS = 8
"""Number of voxel centres that a point reads: the corners of the cell of centres around it."""


class PointVoxelInteraction(nn.Module):
    """Attention of each point over the features of the nearest voxel centres, by their offsets.

    Args:
        channels: channels of the voxel features and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embed = nn.Linear(channels + 3, channels)
        self.attention = nn.Linear(channels, 1)

    def forward(self, volume: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Compute shape features of the points.

        Args:
            volume: features of the completion, `[1, C, X, Y, Z]`.
            points: `[N, 3]` float32, in voxel edges of the volume from its lower corner.

        Returns:
            `[N, C]`.
        """
        index, offset = cell_corners(points, tuple(volume.shape[2:]))
        rows = volume[0].flatten(1).T[index]  # [N, 8, C]
        embedded = torch.relu(self.embed(torch.cat([rows, offset.to(rows.dtype)], dim=2)))
        weights = self.attention(embedded).softmax(dim=1)
        return (weights * embedded).sum(dim=1)


def cell_corners(points: torch.Tensor, size: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the voxel centres around each point; at the volume's edge several of them are equal.

    Args:
        points: `[N, 3]`, voxel edges.
        size: voxels along x, y, z.

    Returns:
        flat index `[N, 8]` int64, and the centre minus the point `[N, 8, 3]`, voxel edges.
    """
    step = torch.tensor([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)], device=points.device)
    last = torch.tensor(size, device=points.device) - 1
    low = (points - 0.5).floor().long()
    corner = (low[:, None] + step).clamp_min(0).minimum(last)  # [N, 8, 3]
    index = (corner[..., 0] * size[1] + corner[..., 1]) * size[2] + corner[..., 2]
    return index, corner + 0.5 - points[:, None]
