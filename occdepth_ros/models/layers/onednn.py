"""Availability of oneDNN's fused operators, which torch.compile uses and torch does not document."""

from __future__ import annotations

import platform
from typing import Any

import torch


def is_x86() -> bool:
    """Return whether this is an x86 CPU of 64 bits."""
    return platform.machine().lower() in ("x86_64", "amd64")


def is_available(dtype: torch.dtype, *names: str) -> bool:
    """Return whether torch has the operators of these names and oneDNN computes them in a number format on this CPU.

    Args:
        dtype: oneDNN refuses bfloat16 and float16 on CPUs without the instructions that it converts them with, such as
            x86 CPUs without AVX-512.
        names: of operators in `torch.ops.mkldnn`.
    """
    operators: Any = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not all(hasattr(operators, name) for name in names):
        return False
    if dtype != torch.float32 and not is_x86():
        # on arm64 oneDNN 3.7.1 fuses bfloat16 and ReLU only in its slow reference implementation (`ref:any` in its log)
        return False
    queries = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}
    query = queries.get(dtype)
    # torch before 2.3 has no query for float16
    return query is None or (hasattr(operators, query) and bool(getattr(operators, query)()))
