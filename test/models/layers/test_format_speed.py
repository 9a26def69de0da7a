"""The number format of convolutions is chosen by their speed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from occdepth_ros.models.layers import format_speed


@pytest.fixture(autouse=True)
def _measured_again() -> Iterator[None]:
    chosen = (format_speed.fastest_float, format_speed.bytes_are_faster)
    for function in chosen:
        function.cache_clear()
    yield
    for function in chosen:
        function.cache_clear()


@pytest.mark.parametrize(
    ("float32", "bfloat16", "int8", "fastest", "in_bytes"),
    [
        (16.0, 2.5, 2.2, torch.bfloat16, False),
        (16.0, 30.0, 6.0, torch.float32, True),
        (16.0, 8.0, 4.5, torch.bfloat16, True),
        (16.0, 30.0, 14.0, torch.float32, False),
        (16.0, 14.0, 13.0, torch.float32, False),
    ],
)
def test_a_clearly_faster_format_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    float32: float,
    bfloat16: float,
    int8: float,
    fastest: torch.dtype,
    in_bytes: bool,
) -> None:
    times = {torch.float32: float32, torch.bfloat16: bfloat16}
    monkeypatch.setattr(format_speed, "_float_s", times.__getitem__)
    monkeypatch.setattr(format_speed, "_bytes_s", lambda: int8)
    monkeypatch.setattr(format_speed, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert format_speed.fastest_float() is fastest and format_speed.bytes_are_faster() is in_bytes


def test_formats_that_the_cpu_does_not_multiply_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_speed, "_float_s", lambda dtype: 1 / 0)
    monkeypatch.setattr(format_speed, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert format_speed.fastest_float() is torch.float32 and not format_speed.bytes_are_faster()


def test_times_are_measured() -> None:
    assert 0 < format_speed._float_s(torch.float32) < 10
