"""MonoOcc's networks against outputs of the published implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from occdepth_ros.checkpoints.golden.verify import verify_file
from occdepth_ros.errors import CheckpointError

pytestmark = [pytest.mark.golden, pytest.mark.usefixtures("one_thread")]

PARTS = {
    "monoocc_single": {"fpn", "cross", "self", "late", "semantic_logit", "logits", "labels"},
    "monoocc_shipped": {"fpn", "cross", "self", "logits", "labels"},
    "monoocc_temporal": {"fpn", "cross", "self", "late", "semantic_logit", "logits", "labels"},
    "monoocc_cross_view_transformer": {"position_a", "position_b", "out_a", "out_b"},
    "internimage_small": {"stage0", "stage1", "stage2", "stage3"},
}


@pytest.mark.parametrize("name", list(PARTS))
def test_network_agrees_with_golden_file(golden_dir: Path, name: str) -> None:
    found = verify_file(golden_dir / f"{name}.npz")
    assert {check.part for check in found.checks} == PARTS[name]
    assert [check for check in found.checks if not check.passed] == []


def test_a_file_whose_parts_do_not_fit_is_refused(golden_dir: Path, tmp_path: Path) -> None:
    with np.load(golden_dir / "monoocc_shipped.npz", allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    path = tmp_path / "cut.npz"
    np.savez(path, **{**arrays, "proposal": arrays["proposal"][:-1]})
    with pytest.raises(CheckpointError, match="proposal is"):
        verify_file(path)
    np.savez(path, **{**arrays, "cross": arrays["cross"][:, :31]})
    with pytest.raises(CheckpointError, match="no regular excerpt"):
        verify_file(path)
