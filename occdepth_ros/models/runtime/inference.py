"""Rewrites of a trained network for inference: folded norms, number format and memory layout of the weights."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def fold_norms(network: Network) -> Network:
    """Fold every batch norm that follows a convolution into it, in place; for networks in evaluation mode only.

    A norm follows a convolution if it is the next child of the same module, as in all blocks of this package and of
    timm's EfficientNets. The activation that timm's norms apply is kept.
    """
    for parent in list(network.modules()):
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, (nn.Conv2d, nn.Conv3d)) and isinstance(norm, _BatchNorm):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, after, getattr(norm, "act", nn.Identity()))
    return network


def stored_as(network: Network, dtype: torch.dtype) -> Network:
    """Convert the weights of convolutions and linear layers to the compute format of autocast, in place.

    Autocast keeps no copies of weights that need no gradient: it would convert all of them for every image.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            module.to(dtype)
    return network


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Return the number format of autocast on a CPU or CUDA device; None if autocast is disabled."""
    if hasattr(torch, "get_autocast_dtype"):
        return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    # torch before 2.4
    if device.type == "cuda":
        return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
    return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None


def channels_last(network: Network) -> Network:
    """Store the weights of all convolutions with channels innermost, in place; names and values are unchanged.

    Activations then have the same layout. On CPUs convolutions are 1.5 to 2.3 times faster in this layout, and the
    voxel gather reads the feature maps without a copy.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
        elif isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            module.to(memory_format=torch.channels_last_3d)
    return network
