"""The 3-D network with fused convolutions; the context prior without unused maps."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn

from occdepth_ros.models.layers.aspp import DilatedBranches
from occdepth_ros.models.layers.bottleneck import Bottleneck3d, Downsample, Process
from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.layers.upsample import Upsample3d
from occdepth_ros.models.occdepth.crp import ContextPrior
from occdepth_ros.models.occdepth.head import SegmentationHead
from occdepth_ros.models.occdepth.unet3d import UNet3d


class OptimizedBottleneck(nn.Module):
    """The bottleneck, with its sums fused into the convolutions."""

    def __init__(self, block: Bottleneck3d, dtype: torch.dtype) -> None:
        super().__init__()
        b = block
        self.conv1 = FusedConv(b.conv1, b.bn1, "relu", dtype)
        self.conv2 = FusedConv(b.conv2, b.bn2, "none", dtype)
        self.conv3 = FusedConv(b.conv3, b.bn3, "none", dtype)
        self.conv4 = FusedConv(b.conv4, b.bn4, "relu", dtype)
        self.conv5 = FusedConv(b.conv5, b.bn5, "relu", dtype)
        self.down = self.down2 = self.down3 = self.down4 = None
        if b.stride != 1:
            self.down2, self.down3, self.down4 = (
                _pooled(down, dtype) for down in (b.downsample2, b.downsample3, b.downsample4)
            )
        if b.downsample is not None:
            self.down = _pooled(cast(nn.Sequential, b.downsample), dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to `[B, C', X/s, Y/s, Z/s]`; overwrites its input where the size stays."""
        out2 = self.conv2(self.conv1(x))
        inner = torch.relu(out2)
        if self.down2 is not None:
            out2 = self.down2(out2)
        if self.down3 is None:
            out3 = self.conv3(inner, out2.clone())
            inner = torch.relu(out3)
            out4 = self.conv4(inner, out3 + out2)
        else:
            assert self.down4 is not None
            out3 = self.conv3(inner, out2.clone())
            out4 = self.conv4(torch.relu(out3), self.down4(out3) + self.down3(out2))
        out5: torch.Tensor = self.conv5(out4, x if self.down is None else self.down(x))
        return out5


def _pooled(projection: nn.Sequential, dtype: torch.dtype) -> FusedConv:
    """Average pooling, 1x1x1 convolution and norm as one convolution with the pool's window."""
    pool, conv, norm = cast(nn.AvgPool3d, projection[0]), cast(nn.Conv3d, projection[1]), projection[2]
    window = (pool.kernel_size,) * 3 if isinstance(pool.kernel_size, int) else pool.kernel_size
    joined = nn.Conv3d(conv.in_channels, conv.out_channels, window, window, bias=False)
    with torch.no_grad():
        joined.weight.copy_((conv.weight / math.prod(window)).expand_as(joined.weight))
    return FusedConv(joined, norm, "none", dtype)


def _bottlenecks(stage: nn.Module, dtype: torch.dtype) -> nn.Sequential:
    """Return every bottleneck of a stage, in sequence."""
    found: list[nn.Module] = []
    for part in cast(nn.Sequential, stage):
        blocks = part.main if isinstance(part, Process) else [cast(Downsample, part).main]
        found.extend(OptimizedBottleneck(cast(Bottleneck3d, block), dtype) for block in blocks)
    return nn.Sequential(*found)


class OptimizedBranches(nn.Module):
    """The dilated pyramid, accumulated in one volume."""

    def __init__(self, branches: DilatedBranches, dtype: torch.dtype) -> None:
        super().__init__()
        b, last = branches, len(branches.conv1) - 1
        self.conv1 = nn.ModuleList(
            FusedConv(conv, norm, "relu", dtype) for conv, norm in zip(b.conv1, b.bn1, strict=True)
        )
        self.conv2 = nn.ModuleList(
            FusedConv(conv, norm, "relu" if i == last else "none", dtype)
            for i, (conv, norm) in enumerate(zip(b.conv2, b.bn2, strict=True))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to the same shape."""
        out = x.clone()
        for conv1, conv2 in zip(self.conv1, self.conv2, strict=True):
            out = conv2(conv1(x), out)
        return out


class OptimizedContextPrior(nn.Module):
    """The context prior; the linear layer after its contexts is applied to the super-voxels, which are fewer."""

    def __init__(self, prior: ContextPrior, dtype: torch.dtype) -> None:
        super().__init__()
        self.aspp = OptimizedBranches(prior.aspp, dtype)
        context = cast(nn.Conv3d, prior.mega_context[0])
        channels = context.in_channels
        self.context = FusedConv(context, None, "none", dtype)
        self.dtype, self.n_super, self.count = dtype, prior.n_super, len(prior.context_prior_logits)
        convs = [cast(nn.Conv3d, cast(nn.Sequential, logits)[0]) for logits in prior.context_prior_logits]
        relation = torch.cat([conv.weight.flatten(1) for conv in convs])  # [R M, C]
        bias = torch.cat([cast(torch.Tensor, conv.bias) for conv in convs])
        mix = cast(nn.Conv3d, prior.resize[0]).weight.flatten(1)  # [C, C + R 2C]
        self.relation: torch.Tensor
        self.relation_bias: torch.Tensor
        self.keep: torch.Tensor
        self.mix: torch.Tensor
        self.register_buffer("relation", relation.detach().T.to(dtype).contiguous(), persistent=False)
        self.register_buffer("relation_bias", bias.detach().to(dtype), persistent=False)
        self.register_buffer("keep", mix[:, :channels].detach().T.to(dtype).contiguous(), persistent=False)
        parts = mix[:, channels:].view(channels, self.count, 2 * channels).permute(1, 2, 0)
        self.register_buffer("mix", parts.detach().to(dtype).contiguous(), persistent=False)  # [R, 2C, C]
        self.after = nn.Sequential(
            *(OptimizedBottleneck(cast(Bottleneck3d, block), dtype) for block in cast(Process, prior.resize[1]).main)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[1, C, X, Y, Z]` to the same shape."""
        spread = self.aspp(x)
        context = self.context(spread).flatten(2)[0].T  # [M, 2C]
        contexts = (context @ self.mix).flatten(0, 1)  # [R M, C]
        rows = spread[0].permute(1, 2, 3, 0).flatten(0, 2)  # [N, C]
        relation = torch.addmm(self.relation_bias, rows, self.relation).sigmoid_()  # [N, R M]
        kept = x[0].permute(1, 2, 3, 0).flatten(0, 2) @ self.keep
        mixed = torch.addmm(kept, relation, contexts)
        volume = mixed.view(1, *x.shape[2:], -1).movedim(-1, 1)
        out: torch.Tensor = self.after(volume)
        return out


class OptimizedUpsample(nn.Module):
    """The transposed convolution with a summand after its activation."""

    def __init__(self, up: Upsample3d, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv = FusedConv(up.main[0], up.main[1], "relu", dtype)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to `[B, C', sX, sY, sZ]`."""
        out: torch.Tensor = self.conv(x)
        return out if skip is None else out.add_(skip)


class OptimizedHead(nn.Module):
    """The head."""

    def __init__(self, head: SegmentationHead, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv0 = FusedConv(head.conv0, None, "relu", dtype)
        self.branches = OptimizedBranches(head, dtype)
        self.occupancy = None if head.occ_classes is None else FusedConv(head.occ_classes, None, "none", dtype)
        self.classes = FusedConv(head.conv_classes, None, "none", dtype)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Map `[1, C, X, Y, Z]` to class logits `[1, n_classes, X, Y, Z]`."""
        y = self.branches(self.conv0(volume))
        if self.occupancy is not None:
            logits = self.occupancy(y)
            # the softmax of two logits is the logistic function of their difference
            occupied = (logits[:, 1:].float() - logits[:, :1].float()).sigmoid_()
            shape = y.shape[0], y.shape[1] + 2, *y.shape[2:]
            joined = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=torch.channels_last_3d)
            joined[:, :-2] = y
            joined[:, -1:] = occupied
            joined[:, -2:-1] = 1 - occupied
            y = joined
        out: torch.Tensor = self.classes(y)
        return out


class OptimizedUNet3d(nn.Module):
    """The 3-D network.

    Args:
        net: the reference module, in evaluation mode.
        dtype: number format; inputs must have it.
    """

    def __init__(self, net: UNet3d, dtype: torch.dtype) -> None:
        super().__init__()
        names = net.names
        self.dtype = dtype
        self.down1 = _bottlenecks(net.get_submodule(names.down1), dtype)
        self.down2 = _bottlenecks(net.get_submodule(names.down2), dtype)
        self.prior = None if net.CP_mega_voxels is None else OptimizedContextPrior(net.CP_mega_voxels, dtype)
        self.up2 = OptimizedUpsample(cast(Upsample3d, net.get_submodule(names.up2)), dtype)
        self.up1 = OptimizedUpsample(cast(Upsample3d, net.get_submodule(names.up1)), dtype)
        self.up_full: OptimizedUpsample | None = None
        if names.up_full is not None:
            self.up_full = OptimizedUpsample(cast(Upsample3d, net.get_submodule(names.up_full)), dtype)
        self.head = OptimizedHead(cast(SegmentationHead, net.get_submodule(names.head)), dtype)

    def volume(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the volume that the head reads, from the lifted volume `[1, C, X, Y, Z]`."""
        # bottlenecks overwrite their input
        half = self.down1(x.clone())
        bottom = self.down2(half.clone())
        if self.prior is not None:
            bottom = self.prior(bottom)
        full = self.up1(self.up2(bottom, half), x)
        return full if self.up_full is None else self.up_full(full)
