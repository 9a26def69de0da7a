"""Values that a user can mistype: one line that names the option and the remedy, exit code 2, and no file."""

from __future__ import annotations

from pathlib import Path

import pytest

from occdepth_ros.cli import main

SYNTHETIC = ["eval", "--dataset", "synthetic", "--model", "stereo-geometry", "--count", "1"]


@pytest.mark.parametrize(
    ("words", "expected_text"),
    [
        (["sample", "--out", "new", "--frames", "0"], "--frames"),
        (["sample", "--out", "new", "--seed", "-1"], "--seed: -1 is negative"),
        (["synthetic", "--out", "new", "--count", "0"], "--count: 0 is below 1"),
        (["synthetic", "--out", "new", "--count", "1", "--size", "10", "10"], "--size: unsupported image size 10x10"),
        (["synthetic", "--out", "new", "--count", "1", "--past", "-3", "-3"], "--past: -3 -3 are no offsets"),
        (["synthetic", "--out", "new", "--count", "1", "--figure", "a.txt"], "--figure: unknown image format '.txt'"),
        (["eval", "--dataset", "folder", "--model", "stereo-geometry"], "--root: the folder of the scenes"),
        (["eval", "--dataset", "nyu", "--model", "stereo-geometry"], "--dataset: no model has the classes"),
        (["eval", "--dataset", "synthetic", "--check"], "--check: synthetic is not a downloaded data set"),
        (["eval", "--dataset", "semantic_kitti", "--check"], "--root: a download to check is not given"),
        ([*SYNTHETIC, "--seed", "-1"], "--seed: the seed -1 is below 0"),
        ([*SYNTHETIC, "--memory", "2"], "--memory, stereo-geometry: the model uses no earlier pairs"),
        (["doctor", "rig", "--source", "sample", "--seconds", "0"], "--seconds: 0 s is out of range"),
        (["reproduce", "occdepth-edge-kitti", "--out", "new", "--data", "kitti"], "--data: 'kitti' is not NAME=DIR"),
        (["view", "--save", "drive.bag", "--model", "stereo-geometry", "--count", "1"], "rerun"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_a_wrong_value_is_named_with_its_remedy(
    words: list[str],
    expected_text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main(words)
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith(f"occdepth {words[0]}: ")]
    assert code == 2 and len(lines) == 1, captured.err
    assert expected_text in lines[0] and lines[0].endswith(".")
    assert list(tmp_path.iterdir()) == []
