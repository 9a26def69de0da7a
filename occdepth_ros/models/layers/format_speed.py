"""Number formats of convolutions on this CPU, chosen by measured speed.

Instruction sets do not predict it: a CPU with AVX-512 but without bfloat16 instructions supports bfloat16, and takes
several times as long as with float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.layers.quantized_conv import LEVELS, Quantized, QuantizedConv, is_available

CHANNELS, SIZE = 96, 128
"""The convolution that is timed, 3x3: those of the bird's-eye view are alike."""
REPEATS = 5
GAIN = 0.75
"""Largest share of the time of a more accurate format at which a less accurate one is chosen."""


@cache
def fastest_float() -> torch.dtype:
    """Return bfloat16 if it is clearly faster than float32, so that all processes on a machine choose alike."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32
    return torch.bfloat16 if _float_s(torch.bfloat16) < GAIN * _float_s(torch.float32) else torch.float32


@cache
def bytes_are_faster() -> bool:
    """Return whether convolutions of bytes, with the conversion of their input, are faster than `fastest_float`."""
    return is_available() and _bytes_s() < GAIN * _float_s(fastest_float())


@cache
@torch.inference_mode()
def _float_s(dtype: torch.dtype) -> float:
    convolution = FusedConv(_convolution(), None, "relu", dtype)
    x = _map().to(dtype)
    return _seconds(lambda: convolution(x))


@cache
@torch.inference_mode()
def _bytes_s() -> float:
    convolution = QuantizedConv(_convolution(), relu=True, largest=1.0)
    x = _map()
    return _seconds(lambda: convolution(Quantized((x * LEVELS).to(torch.uint8), 1 / LEVELS)))


def _convolution() -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).requires_grad_(False)


def _map() -> torch.Tensor:
    return torch.rand(1, CHANNELS, SIZE, SIZE).contiguous(memory_format=torch.channels_last)


def _seconds(function: Callable[[], object]) -> float:
    """Return the smallest CPU time of this thread, which other load affects little, with one thread of torch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        function()
        times = []
        for _ in range(REPEATS):
            started = time.thread_time()
            function()
            times.append(time.thread_time() - started)
        return min(times)
    finally:
        torch.set_num_threads(threads)
