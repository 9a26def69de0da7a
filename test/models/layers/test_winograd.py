"""Winograd convolutions against torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from occdepth_ros.models.layers import winograd
from occdepth_ros.models.layers.fused_conv import ActivationName, FusedConv
from occdepth_ros.models.layers.winograd import TILES, WinogradConv, convolution, fits, matrices
from occdepth_ros.models.runtime.parallel import Workers


@settings(max_examples=40)
@given(
    st.integers(1, 2),
    st.sampled_from([8, 24]),
    st.sampled_from([16, 32]),
    st.integers(1, 21),
    st.integers(1, 41),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "relu"]),
    st.integers(0, 9),
)
@torch.inference_mode()
def test_the_convolution_is_torchs(
    images: int,
    before: int,
    after: int,
    height: int,
    width: int,
    normed: bool,
    added: bool,
    activation: ActivationName,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    conv = nn.Conv2d(before, after, 3, padding=1, bias=not normed).requires_grad_(False)
    norm = nn.BatchNorm2d(after).eval().requires_grad_(False) if normed else None
    if norm is not None:
        norm.running_mean, norm.running_var = torch.randn(after), torch.rand(after) + 0.5
    x, summand = torch.randn(images, before, height, width), torch.randn(images, after, height, width)
    made = WinogradConv(conv, norm, activation)(x, summand.clone() if added else None)
    expected = conv.double()(x.double())
    if norm is not None:
        expected = norm.double()(expected)
    if added:
        expected += summand
    if activation == "relu":
        expected = F.relu(expected)
    assert made.shape == expected.shape
    assert (made - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


@torch.inference_mode()
def test_threads_divide_a_map_into_chunks_and_give_the_same_output() -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    x = torch.randn(1, 16, 53, 61)  # more than two chunks
    assert 2 * TILES < 14 * 16
    expected = WinogradConv(conv, None, "relu")(x)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        made = WinogradConv(conv, None, "relu", Workers(2))(x)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(made, expected)
    torch.testing.assert_close(made, F.relu(conv(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("conv", "activation", "expected"),
    [
        (nn.Conv2d(8, 16, 3, padding=1), "relu", True),
        (nn.Conv2d(8, 16, 3, padding="same"), "none", True),
        (nn.Conv2d(8, 16, 3, padding=1), "silu", False),
        (nn.Conv2d(8, 24, 3, padding=1), "relu", False),
        (nn.Conv2d(8, 16, 3), "relu", False),
        (nn.Conv2d(8, 16, 3, padding=1, stride=2), "relu", False),
        (nn.Conv2d(8, 16, 3, padding=2, dilation=2), "relu", False),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), "relu", False),
        (nn.Conv2d(8, 16, 3, padding=1, padding_mode="reflect"), "relu", False),
        (nn.Conv2d(8, 16, 1), "relu", False),
        (nn.Conv3d(8, 16, 3, padding=1), "relu", False),
    ],
)
def test_other_convolutions_are_left_to_torch(
    conv: nn.Module, activation: ActivationName, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fits(conv, activation) == expected
    for few, dtype, workers in [(True, torch.float32, Workers(0)), (False, torch.float32, Workers(0))]:
        monkeypatch.setattr(winograd, "has_few_multipliers", lambda few=few: few)
        made = convolution(conv, None, activation, dtype, workers)
        assert isinstance(made, WinogradConv if few and expected else FusedConv)
    monkeypatch.setattr(winograd, "has_few_multipliers", lambda: True)
    assert isinstance(convolution(conv, None, activation, torch.bfloat16, Workers(0)), FusedConv)
    assert isinstance(convolution(conv, None, activation, torch.float32, None), FusedConv)


def test_the_matrices_convolve_six_numbers_with_three() -> None:
    outputs, weights, inputs = matrices()
    x, kernel = np.random.default_rng(0).normal(size=(2, 6))
    found = outputs @ ((weights @ kernel[:3]) * (inputs @ x))
    np.testing.assert_allclose(found, np.correlate(x, kernel[:3], "valid"), atol=1e-12)
