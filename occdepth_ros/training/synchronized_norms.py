"""Batch norms whose statistics are those of the batches of all devices."""

from __future__ import annotations

from typing import Any

from torch import nn


def synchronized(network: nn.Module) -> nn.Module:
    """Replace all batch norms by synchronized ones; activations inside norms, of `Lite0` and timm, are kept.

    PyTorch's conversion keeps the parameters and children of a norm, but not the call of its activation.
    """
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for norm in converted.modules():
        if isinstance(norm, nn.SyncBatchNorm) and isinstance(getattr(norm, "act", None), nn.Module):
            norm.register_forward_hook(_activate)
    return converted


def _activate(norm: Any, inputs: Any, output: Any) -> Any:
    return norm.act(output)
