"""The networks against outputs of the published implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from occdepth_ros.checkpoints.golden.occdepth import verify_network
from occdepth_ros.checkpoints.golden.occdepth_file import read_golden

pytestmark = pytest.mark.golden


@pytest.mark.parametrize("name", ["b3", "mono", "b7"])
def test_network_agrees_with_golden_file(golden_dir: Path, name: str) -> None:
    checks = verify_network(read_golden(golden_dir / f"occdepth_{name}.npz"))
    assert len(checks) >= 13
    assert [c for c in checks if not c.passed] == []


def test_virtual_stereo_agrees_with_golden_file(golden_dir: Path) -> None:
    checks = verify_network(read_golden(golden_dir / "occdepth_nyu.npz"))
    assert {c.part for c in checks} == {"SFA 1/1", "SFA 1/2", "SFA 1/4", "SFA 1/8", "logits", "labels"}
    assert [c for c in checks if not c.passed] == []


def test_full_size_network_agrees_on_a_real_frame(golden_dir: Path, kitti_mini: Path) -> None:
    checks = verify_network(read_golden(golden_dir / "occdepth_b3_full.npz"), dataset=kitti_mini)
    assert {c.part for c in checks} >= {
        "2-D 1/1 left",
        "SFA 1/8",
        "OAD weight",
        "3-D input",
        "depth",
        "logits",
        "labels",
    }
    assert [c for c in checks if not c.passed] == []
