"""Convolutions in 8-bit numbers against those in float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge_bev.completion import BevUNet
from occdepth_ros.models.edge_bev.optimized.quantized_unet import QuantizedUNet
from occdepth_ros.models.layers.quantized_conv import KEPT, LEVELS, Quantized, QuantizedConv, is_available, largest_of
from occdepth_ros.models.runtime.parallel import Workers

pytestmark = pytest.mark.skipif(not is_available(), reason="this CPU does not multiply 8-bit numbers")


def stored(values: torch.Tensor, scale: float, zero: int = 0) -> Quantized:
    levels = ((values / scale).round() + zero).clamp(0, LEVELS).to(torch.uint8)
    return Quantized(levels.contiguous(memory_format=torch.channels_last), scale, zero)


def values_of(x: Quantized) -> torch.Tensor:
    return (x.stored.float() - x.zero) * x.scale


@pytest.fixture
def conv() -> nn.Conv2d:
    torch.manual_seed(3)
    return nn.Conv2d(16, 24, 3, padding=1).requires_grad_(False)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("zero", [0, 100])
def test_values_are_those_of_the_float_convolution_up_to_the_steps(conv: nn.Conv2d, zero: int) -> None:
    x = stored(torch.randn(1, 16, 9, 11), 2.0 / 127, zero)
    expected = conv(values_of(x))
    made = QuantizedConv(conv).values(x)
    assert made.dtype == torch.float32
    assert (made - expected).abs().max() < 0.02 * expected.abs().max()


def test_weights_are_packed_for_every_zero_and_a_bounded_number_is_kept(conv: nn.Conv2d) -> None:
    made = QuantizedConv(conv)
    values = torch.randn(1, 16, 9, 11)
    for zero in [*range(80, 80 + KEPT + 2), 80, 80 + KEPT]:
        x = stored(values, 2.0 / 127, zero)
        torch.testing.assert_close(made.values(x), QuantizedConv(conv).values(x))
        assert len(made._packed) <= KEPT


def test_a_stored_output_saturates_at_its_largest_value(conv: nn.Conv2d) -> None:
    x = stored(torch.rand(1, 16, 9, 11), 1 / LEVELS)
    expected = conv(values_of(x)).relu().clamp_max(0.5)
    made = QuantizedConv(conv, relu=True, largest=0.5)(x)
    assert made.stored.dtype == torch.uint8 and made.scale * LEVELS == pytest.approx(0.5)
    assert (values_of(made) - expected).abs().max() < 0.02


def test_a_summand_of_another_scale_is_added_before_the_activation() -> None:
    torch.manual_seed(4)
    same = nn.Conv2d(16, 16, 3, padding=1, bias=False).requires_grad_(False)
    x = stored(torch.rand(1, 16, 9, 11), 1 / LEVELS)
    summand = stored(torch.randn(1, 16, 9, 11), 4 / LEVELS, 128)
    expected = (same(values_of(x)) + values_of(summand)).relu().clamp_max(3.0)
    made = QuantizedConv(same, relu=True, largest=3.0)(x, summand)
    assert (values_of(made) - expected).abs().max() < 0.03


def test_the_range_of_an_activation_comes_from_the_norm() -> None:
    norm = nn.BatchNorm2d(2)
    norm.bias.data, norm.weight.data = torch.tensor([1.0, -2.0]), torch.tensor([0.5, -1.0])
    assert largest_of(norm) == pytest.approx(4.0) and largest_of(norm, 1.5) == pytest.approx(5.5)


@pytest.mark.parametrize("threads", [0, 2])
def test_the_u_net_of_bytes_gives_what_the_reference_gives(threads: int, two_threads: None) -> None:
    torch.manual_seed(5)
    network = BevUNet(24, (16, 16, 24), (1, 1, 1))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # statistics of all of the following maps
    made = [F.relu(torch.randn(1, 24, 64, 32)) for _ in range(3)]
    with torch.no_grad():
        for x in made:
            network(x)
    network.eval().requires_grad_(False)
    with torch.inference_mode():
        expected = network(made[0])
        found = values_of(QuantizedUNet(network, torch.float32, Workers(threads))(made[0]))
    assert (found - expected).pow(2).mean() < 0.05**2 * expected.pow(2).mean()
