"""EfficientNet-Lite0 of this package equals timm's, and the shipped networks work without timm."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from helpers.networks.weights import shipped_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from occdepth_ros.models.layers.lite0 import Lite0
from occdepth_ros.models.layers.same_padding import Conv2dSame
from occdepth_ros.models.runtime.inference import fold_norms
from occdepth_ros.training.synchronized_norms import synchronized

WITHOUT_TIMM = """
import sys
sys.modules["timm"] = None
from occdepth_ros.models.registry import create_predictor
for name in sys.argv[1:]:
    print(create_predictor(name, device="cpu").name)
"""


@pytest.fixture(scope="module")
def network() -> Lite0:
    """A network whose norms have statistics that differ from those of a fresh one."""
    generator = torch.Generator().manual_seed(0)
    made = Lite0().eval()
    for norm in (m for m in made.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.running_mean is not None and norm.running_var is not None
        for tensor, low in ((norm.running_var, 0.5), (norm.weight.data, 0.5), (norm.bias.data, -0.2)):
            tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
        norm.running_mean.copy_(0.1 * torch.randn(norm.running_mean.shape, generator=generator))
    return made


@pytest.mark.parametrize("size", [(64, 96), (63, 97)])
def test_maps_equal_those_of_timm(network: Lite0, size: tuple[int, int]) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed: run make env")
    theirs = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4)).eval()
    assert list(network.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(network.state_dict())
    images = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for ours, expected in zip(network(images), theirs(images), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert list(network.channels) == theirs.feature_info.channels()


def test_synchronized_norms_keep_the_activations(network: Lite0) -> None:
    copy = Lite0().eval()
    copy.load_state_dict(network.state_dict())
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(2))
    converted = synchronized(copy).eval()
    assert any(isinstance(m, nn.SyncBatchNorm) for m in converted.modules())
    assert list(converted.state_dict()) == list(network.state_dict())
    with torch.inference_mode():
        for ours, expected in zip(converted(images), network(images), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_folded_norms_keep_the_activations(network: Lite0) -> None:
    copy = Lite0().eval()
    copy.load_state_dict(network.state_dict())
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        for ours, expected in zip(fold_norms(copy)(images), network(images), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_stages_after_the_last_map_are_left_out_on_request() -> None:
    short = Lite0((2, 4), complete=False)
    assert len(short.blocks) == 5 and short.channels == (40, 112)
    assert [m.shape[1] for m in short.eval()(torch.zeros(1, 3, 32, 32))] == [40, 112]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2, 3]))
def test_the_output_of_same_padding_is_the_input_divided_by_the_stride(
    height: int, width: int, kernel: int, stride: int
) -> None:
    out = Conv2dSame(1, 1, kernel, stride)(torch.zeros(1, 1, height, width))
    assert out.shape[-2:] == (-(-height // stride), -(-width // stride))


def test_shipped_networks_need_no_timm() -> None:
    names = ["occdepth-edge", "occdepth-edge-sfa", "monoocc-edge"]
    for name in names:
        shipped_weights(name)
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT_TIMM, *names], capture_output=True, text=True, check=False, timeout=300
    )
    assert answer.stdout.split() == names, answer.stderr[-2000:]
