"""The number format of convolutions is chosen by the instructions of the CPU."""

from __future__ import annotations

import platform
import sys

import pytest
import torch

from occdepth_ros.models.layers import cpu_formats


@pytest.mark.parametrize(
    ("machine", "supported", "bfloat16", "amx", "vnni", "fastest", "in_bytes"),
    [
        ("x86_64", True, True, True, True, torch.bfloat16, False),
        ("x86_64", True, True, False, True, torch.bfloat16, True),
        ("x86_64", True, False, False, True, torch.float32, True),
        ("x86_64", True, False, False, False, torch.float32, False),
        ("x86_64", False, False, False, False, torch.float32, False),
        ("aarch64", True, False, False, False, torch.bfloat16, False),
        ("aarch64", False, False, False, False, torch.float32, False),
    ],
)
def test_a_format_is_chosen_if_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    supported: bool,
    bfloat16: bool,
    amx: bool,
    vnni: bool,
    fastest: torch.dtype,
    in_bytes: bool,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(cpu_formats, "is_available", lambda: vnni)
    names = {"avx512_bf16": bfloat16, "amx_int8": amx}
    monkeypatch.setattr(cpu_formats, "instructions", lambda: {name for name, exists in names.items() if exists})
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert cpu_formats.fastest_float() is fastest and cpu_formats.bytes_are_faster() is in_bytes


def test_instructions_are_those_of_the_system() -> None:
    cpu_formats.instructions.cache_clear()
    is_x86_linux = sys.platform.startswith("linux") and platform.machine() == "x86_64"
    assert ("sse2" in cpu_formats.instructions()) == is_x86_linux
