"""The two networks of MobileStereoNet: a cost volume with features (3-D), or with one number per disparity (2-D).

Parameters have the published names, so that published checkpoints load strictly.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.mobilestereonet.blocks import Dims, Hourglass, InvertedBlock, convolution, normed
from occdepth_ros.models.mobilestereonet.features import CHANNELS, FeatureExtraction

STEP = 4
"""Pixels of the image per cell of the cost volume."""
MULTIPLE = 32
"""Both sides of the images must be multiples of this."""
GROUPS = 40
"""Number of feature groups of the group-wise correlation in the 3-D network."""


class MobileStereoNet(nn.Module):
    """Base class of both networks: three hourglasses over a cost volume, and disparity as an expectation.

    Args:
        channels: channels of the volume after its first layers.
        max_disparity: largest disparity plus one, pixels; a multiple of 64 in three dimensions.
    """

    dims: Dims
    """Convolved axes of the volume."""

    def __init__(self, channels: int, max_disparity: int) -> None:
        super().__init__()
        self.max_disparity = max_disparity
        costs = 1 if self.dims == 3 else channels
        self.feature_extraction = FeatureExtraction(rectified=self.dims == 2)
        for i in range(3):
            self.add_module(f"encoder_decoder{i + 1}", Hourglass(self.dims, channels))
        for i in range(4):
            head = [normed(self.dims, channels, channels, 3), nn.ReLU(inplace=True)]
            self.add_module(f"classif{i}", nn.Sequential(*head, convolution(self.dims, channels, costs, 3, padding=1)))

    @property
    def bins(self) -> int:
        """Compared disparities: every fourth pixel."""
        return self.max_disparity // STEP

    def volume(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Map features `[B, 320, h, w]` of both images to the cost volume after its first layers."""
        raise NotImplementedError

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Match a pair.

        Args:
            left, right: `[B, 3, H, W]`, normalised by the ImageNet statistics; H and W multiples of 32.

        Returns:
            disparity of the left image, `[B, H, W]`, pixels, from 0 to `max_disparity` - 1.
        """
        return self._disparity(3, self._costs(left, right)[3])

    def disparities(self, left: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
        """Return the four disparities that training compares, each as from `forward`, the final one last."""
        return [self._disparity(i, cost) for i, cost in enumerate(self._costs(left, right))]

    def _costs(self, left: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
        features = self.feature_extraction(torch.cat([left, right]))
        left_features, right_features = features.chunk(2)
        costs = [self.volume(left_features, right_features)]
        for i in range(3):
            costs.append(self.get_submodule(f"encoder_decoder{i + 1}")(costs[-1]))
        return costs

    def _disparity(self, head: int, cost: torch.Tensor) -> torch.Tensor:
        cost = self.get_submodule(f"classif{head}")(cost)
        if self.dims == 2:
            cost = cost[:, None]  # [B, 1, D/4, H/4, W/4], as in three dimensions
        size = [n * STEP for n in cost.shape[2:]]
        likelihood = F.interpolate(cost, size=size, mode="trilinear", align_corners=False)[:, 0].softmax(dim=1)
        steps = torch.arange(self.max_disparity, dtype=likelihood.dtype, device=likelihood.device)
        return torch.einsum("bdhw,d->bhw", likelihood, steps)


class MobileStereoNet3d(MobileStereoNet):
    """The network with 3-D convolutions; MSNet3D of the paper.

    Args:
        max_disparity: largest disparity plus one, pixels; a multiple of 16.
    """

    dims: Dims = 3

    def __init__(self, max_disparity: int = 192) -> None:
        super().__init__(32, max_disparity)

        def blocks(in_channels: int) -> nn.Sequential:
            return nn.Sequential(InvertedBlock(3, in_channels, 32, expansion=3), InvertedBlock(3, 32, 32, expansion=3))

        self.dres0, self.dres1 = blocks(GROUPS), blocks(32)

    def volume(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Compute the group-wise correlation (Guo et al., CVPR 2019): `[B, 32, D/4, h, w]`."""
        batch, _, height, width = left.shape
        costs = left.new_zeros(batch, GROUPS, self.bins, height, width)
        for d in range(min(self.bins, width)):
            products = left[..., d:] * right[..., : width - d]
            grouped = products.view(batch, GROUPS, CHANNELS // GROUPS, height, width - d)
            costs[:, :, d, :, d:] = grouped.mean(dim=2)
        first = self.dres0(costs)
        return cast(torch.Tensor, self.dres1(first) + first)


class MobileStereoNet2d(MobileStereoNet):
    """The network with 2-D convolutions, whose volume has one number per disparity; MSNet2D of the paper.

    Args:
        max_disparity: largest disparity plus one, pixels; a multiple of 16.
    """

    dims: Dims = 2

    def __init__(self, max_disparity: int = 192) -> None:
        channels = max_disparity // STEP
        super().__init__(channels, max_disparity)
        narrowing: list[nn.Module] = []
        for before, after in ((CHANNELS, 256), (256, 128), (128, 64)):
            narrowing += [normed(2, before, after, 1), nn.ReLU(inplace=True)]
        self.preconv11 = nn.Sequential(*narrowing, nn.Conv2d(64, 32, 1))
        mixing: list[nn.Module] = []
        for before, after, depth in ((1, 16, 8), (16, 32, 4), (32, 16, 2)):
            mixing += [
                nn.Conv3d(before, after, (depth, 3, 3), stride=(depth, 1, 1), padding=(0, 1, 1)),
                nn.BatchNorm3d(after),
                nn.ReLU(),
            ]
        self.conv3d = nn.Sequential(*mixing)
        self.volume11 = nn.Sequential(normed(2, 16, 1, 1), nn.ReLU(inplace=True))

        def block() -> InvertedBlock:
            return InvertedBlock(2, channels, channels, expansion=3)

        self.dres0 = nn.Sequential(block(), nn.ReLU(inplace=True), block(), nn.ReLU(inplace=True))
        self.dres1 = nn.Sequential(block(), nn.ReLU(inplace=True), block())

    def volume(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Interlace the features and mix them to one number per disparity (section 3.3): `[B, D/4, h, w]`."""
        left, right = self.preconv11(left), self.preconv11(right)
        batch, _, height, width = left.shape
        costs = left.new_zeros(batch, self.bins, height, width)
        for d in range(min(self.bins, width)):
            interlaced = torch.stack([left[..., d:], right[..., : width - d]], dim=2).flatten(1, 2)
            mixed = self.conv3d(interlaced[:, None])[:, :, 0]  # [B, 16, h, w - d]
            costs[:, d, :, d:] = self.volume11(mixed)[:, 0]
        first = self.dres0(costs)
        return cast(torch.Tensor, self.dres1(first) + first)
