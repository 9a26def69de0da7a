"""Number formats of convolutions on this CPU, chosen by its instructions, so that all processes on a machine choose
alike.

A CPU without instructions for a format converts its numbers, which takes longer than float32: bfloat16 on AVX-512
without its instructions took 88 ms for a convolution that takes 17 ms in float32. With AMX, bytes are not faster than
bfloat16, because their conversion takes what their product gains. With VNNI and without AMX they are: a pair of
occdepth-edge took 423 ms of CPU time instead of 582 ms (all on an Intel Xeon, AMX disabled for the latter, 2026-11-30).

With AVX2 only, a pair with the U-Net in bytes (7 bits, because sums of two products saturate) took 516 ms of CPU time,
463 ms in float32 with Winograd convolutions, and 0.8 % of the labels differed (AMD EPYC, Zen 3, 2026-12-01).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from occdepth_ros.models.layers.onednn import is_x86
from occdepth_ros.models.layers.quantized_conv import is_available


def fastest_float() -> torch.dtype:
    """Return bfloat16 if the CPU multiplies it in hardware, otherwise float32."""
    # on x86, oneDNN supports bfloat16 from AVX-512 on, also by conversion
    has_instructions = "avx512_bf16" in instructions() or not is_x86()
    return torch.bfloat16 if has_instructions and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def bytes_are_faster() -> bool:
    """Return whether convolutions of bytes, with the conversion of their input, are faster than `fastest_float`."""
    return is_available() and "amx_int8" not in instructions()


def has_few_multipliers() -> bool:
    """Return whether products in `fastest_float` take so long that compiled loops with fewer of them are faster than
    oneDNN: float32 in AVX2 without AVX-512. See `winograd` and `edge_bev.loops.sparse_convolution`."""
    return "avx2" in instructions() and "avx512f" not in instructions()


@cache
def instructions() -> frozenset[str]:
    """Return the instruction sets of an x86 CPU by their names in Linux; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    # the query functions of torch are missing in some versions
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
