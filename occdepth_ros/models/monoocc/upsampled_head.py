"""Classes of fine voxels from a coarse volume: trilinear upsampling, layer norm, linear layer.

The norm follows the interpolation, but the coarse channels need not be upsampled. If the voxels are centred (their mean
over the channels subtracted), interpolated voxels are centred too, so the linear layer can be applied first. The norm
then divides each fine voxel by its standard deviation, whose square is a quadratic form of the interpolation's weights
with the inner products of neighbouring coarse voxels as coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class UpsampledHead(nn.Module):
    """The head; `mlp_head.0` and `mlp_head.1` are the norm and the linear layer.

    Args:
        channels: channels of the volume.
        n_classes: semantic classes, empty space included.
    """

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.mlp_head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, n_classes))

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the class logits at twice the resolution, corners aligned.

        Args:
            volume: `[X, Y, Z, C]`, at least two voxels along every axis.

        Returns:
            `[n_classes, 2X, 2Y, 2Z]` float32.
        """
        norm, linear = self.mlp_head
        assert isinstance(norm, nn.LayerNorm) and isinstance(linear, nn.Linear)
        with torch.autocast(volume.device.type, enabled=False):
            volume = volume.float()
            centered = volume - volume.mean(-1, keepdim=True)
            deviation = (interpolated_squares(centered) / volume.shape[-1] + norm.eps).rsqrt()
            scores = F.linear(centered, linear.weight * norm.weight).movedim(-1, 0)
            fine = F.interpolate(scores[None], scale_factor=2, mode="trilinear", align_corners=True)[0]
            shift = F.linear(norm.bias, linear.weight, linear.bias)
            return torch.addcmul(shift[:, None, None, None], fine, deviation)

    def part(self, volume: torch.Tensor, fine: Sequence[range], size: Sequence[int]) -> torch.Tensor:
        """Return the class logits of a box of fine voxels, for training.

        Args:
            volume: required coarse voxels, `[x, y, z, C]`: those of `coarse_range` along every axis.
            fine: index ranges of the box along x, y, z.
            size: coarse voxels of the whole volume along x, y, z.

        Returns:
            `[n_classes, ...]` float32.
        """
        with torch.autocast(volume.device.type, enabled=False):
            x, y, z = (interpolation(r, n).to(volume.device) for r, n in zip(fine, size, strict=True))
            # each step doubles the number of voxels
            out = torch.tensordot(x, y @ (z @ volume.float()).flatten(2), 1)
            logits: torch.Tensor = self.mlp_head(out.unflatten(-1, (len(z), -1)))
            return logits.movedim(-1, 0)

    def read_out(self, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the most likely class of every fine voxel and its probability, for inference on a CPU.

        Computed plane by plane, so that channels and logits of the fine voxels stay in the cache. This is several times
        faster than `forward` followed by a maximum over the classes.

        Args:
            volume: `[X, Y, Z, C]`, at least two voxels along every axis.

        Returns:
            labels `[2X, 2Y, 2Z]` uint8, and probability times 255, rounded, of the same shape and type.
        """
        norm, linear = self.mlp_head
        assert isinstance(linear, nn.Linear)
        size = volume.shape[:3]
        with torch.autocast(volume.device.type, enabled=False):
            y, z = (interpolation(range(2 * n), n) for n in size[1:])

            def plane(x: int) -> torch.Tensor:
                return (y @ (z @ volume[x].float()).flatten(1)).view(4 * size[1] * size[2], -1)

            labels, confidence = (torch.empty(2 * size[0], 4 * size[1] * size[2], dtype=torch.uint8) for _ in range(2))
            low, lower, upper = -1, plane(0), plane(0)
            for x in range(2 * size[0]):
                position = x * (size[0] - 1) / (2 * size[0] - 1)
                while low < min(int(position), size[0] - 2):
                    low, lower, upper = low + 1, upper, plane(low + 2)
                logits = F.linear(norm(torch.lerp(lower, upper, position - low)), linear.weight, linear.bias)
                best, labels[x] = logits.max(1)
                confidence[x] = (255 / logits.sub_(best[:, None]).exp_().sum(1)).round_()
        fine = [2 * n for n in size]
        return labels.view(fine), confidence.view(fine)


def coarse_range(fine: range, size: int) -> range:
    """Return the coarse voxels, of `size` along an axis, that the fine ones are interpolated from."""
    scale = (size - 1) / (2 * size - 1)
    return range(min(int(fine[0] * scale), size - 2), min(int(fine[-1] * scale) + 1, size - 1) + 1)


def interpolation(fine: range, size: int) -> torch.Tensor:
    """Return the matrix of linear interpolation by 2 with aligned corners along an axis.

    Args:
        fine: indices of the fine voxels.
        size: coarse voxels along the axis.

    Returns:
        weights of the voxels of `coarse_range` for each fine one, `[len(fine), ...]` float32.
    """
    coarse = coarse_range(fine, size)
    position = torch.tensor(fine, dtype=torch.float64) * ((size - 1) / (2 * size - 1))
    away = (position[:, None] - torch.tensor(coarse, dtype=torch.float64)).abs()
    return (1 - away).clamp_min(0).float()


def interpolated_squares(volume: torch.Tensor) -> torch.Tensor:
    """Return squared lengths of trilinearly upsampled vectors (aligned corners): `[X, Y, Z, C]` to `[2X, 2Y, 2Z]`."""
    size_x, size_y, size_z = volume.shape[:3]
    here, next_x = volume, volume[1:]
    # inner products with voxels offset along y (0 or 1) and z (0, 1 or -1): at the same x, and between adjacent x in
    # both orders
    at_x: dict[tuple[int, int], torch.Tensor] = {}
    across_x: dict[tuple[int, int], torch.Tensor] = {}
    own, adjacent = _gram(here, here), _gram(here[:, :-1], here[:, 1:])
    ahead = _gram(here[:-1], next_x)
    skew = _gram(here[:-1, :-1], next_x[:, 1:]) + _gram(next_x[:, :-1], here[:-1, 1:])
    at_x[0, 0], at_x[0, 1] = _diagonal(own, 0), _diagonal(own, 1)
    across_x[0, 0], across_x[0, 1] = 2 * _diagonal(ahead, 0), _diagonal(ahead, 1) + _diagonal(ahead, -1)
    for dz in (-1, 0, 1):
        at_x[1, dz], across_x[1, dz] = _diagonal(adjacent, dz), _diagonal(skew, dz)
    fine_x = {key: _blend(at_x[key], across_x[key], 0, size_x) for key in at_x}
    equal_z = _blend(fine_x[0, 0], 2 * fine_x[1, 0], 1, size_y)
    next_z = _blend(fine_x[0, 1], fine_x[1, 1] + fine_x[1, -1], 1, size_y)
    # rounding may give small negative values
    return _blend(equal_z, 2 * next_z, 2, size_z).clamp_min(0)


def _gram(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the inner products along columns: two `[x, y, Z, C]` to `[x, y, Z, Z]`."""
    x, y, z, c = a.shape
    return torch.bmm(a.reshape(x * y, z, c), b.reshape(x * y, z, c).mT).view(x, y, z, z)


def _diagonal(gram: torch.Tensor, offset: int) -> torch.Tensor:
    return gram.diagonal(offset, -2, -1)


def _blend(at: torch.Tensor, across: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """Interpolate squares along an axis: (1 - t)^2 at[i] + t^2 at[i + 1] + t (1 - t) across[i]."""
    position = torch.arange(2 * size, device=at.device, dtype=torch.float64) * ((size - 1) / (2 * size - 1))
    low = position.floor().long().clamp_max(size - 2)
    shape = [1] * at.dim()
    shape[axis] = 2 * size
    t = (position - low).to(at.dtype).view(shape)
    lower, upper, mixed = at.index_select(axis, low), at.index_select(axis, low + 1), across.index_select(axis, low)
    return (1 - t).square() * lower + t.square() * upper + t * (1 - t) * mixed
