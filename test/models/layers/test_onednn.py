"""Fused layers on CPUs for which oneDNN refuses a number format, such as bfloat16 on x86 without AVX-512."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from occdepth_ros.models.layers import onednn
from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.layers.fused_linear import FusedLinear


def test_missing_operators_are_not_available() -> None:
    assert not onednn.is_available(torch.float32, "_no_such_operator")


def test_only_float32_is_fused_on_other_processors_than_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    for machine, is_fused in (("aarch64", False), ("AMD64", True)):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert onednn.is_available(torch.bfloat16) == is_fused
        assert onednn.is_available(torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_layers_work_in_a_format_that_onednn_refuses(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("the path needs the cpu support of other instructions")

    for name in ("_reorder_linear_weight", "_reorder_convolution_weight"):
        monkeypatch.setattr(torch.ops.mkldnn, name, refused)
    for query in ("_is_mkldnn_bf16_supported", "_is_mkldnn_fp16_supported"):
        monkeypatch.setattr(torch.ops.mkldnn, query, lambda: False, raising=False)
    x, conv, linear = torch.randn(1, 8, 6, 7), nn.Conv2d(8, 4, 3, padding=1), nn.Linear(8, 4)
    with torch.inference_mode():
        found = FusedConv(conv, None, "relu", dtype)(x.to(dtype))
        torch.testing.assert_close(found.float(), conv(x).relu(), atol=0.05, rtol=0.05)
        rows = x.flatten(2)[0].T
        found = FusedLinear(linear.weight, linear.bias, dtype=dtype)(rows.to(dtype))
        torch.testing.assert_close(found.float(), linear(rows), atol=0.05, rtol=0.05)
