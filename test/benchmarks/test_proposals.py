"""The coverage of proposals: counting, and the whole table on a real frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.proposals import Row, main


def test_unknown_voxels_do_not_count() -> None:
    ground_truth = np.array([[[0, 3, 255, 19]]], np.uint8)
    row = Row("x").counted(np.array([[[True, True, True, False]]]), ground_truth)
    assert (row.hits, row.proposals, row.occupied) == (1, 2, 2)
    assert row.scores == {"recall": 50.0, "precision": 50.0, "iou": 33.3}
    assert Row("nothing").scores == {"recall": 0.0, "precision": 0.0, "iou": 0.0}


def test_history_increases_the_recall_on_real_frames(
    kitti_mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence = str(kitti_mini / "dataset" / "sequences" / "00")
    main([sequence, "--history", "2", "--json", str(tmp_path / "p.json")])
    found = json.loads((tmp_path / "p.json").read_text())
    rows = found["rows"]
    assert found["frames"] == 1
    assert rows["3 pairs, half resolution"]["recall"] > 1.2 * rows["1 pair, half resolution"]["recall"]
    assert rows["1 pair, half resolution"]["precision"] > 50
    assert "1 frames" in capsys.readouterr().out
