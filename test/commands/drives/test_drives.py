"""Verbs on many drives: one process each, failures that do not stop the others, and complete drives are skipped."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import HEIGHT, WIDTH, kitti_odometry, save

from occdepth_ros.cli import main
from occdepth_ros.commands.drives import batch as drives
from occdepth_ros.commands.drives.task import Outcome, Task

OPTIONS = ["--model", "stereo-geometry", "--count", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drives, one of them broken."""
    made = tmp_path_factory.mktemp("drives")
    kitti_odometry(made / "good", 2)
    for index in range(2):
        left = np.random.default_rng(index).integers(0, 255, (HEIGHT, WIDTH + 12, 3), np.uint8)
        save(made / "good" / "image_2" / f"{index:06d}.png", left[:, :WIDTH])
        save(made / "good" / "image_3" / f"{index:06d}.png", left[:, 12:])
    (made / "broken").mkdir()
    (made / "broken" / "calib.txt").write_text("nothing")
    return made


def report_of(out: Path) -> dict[str, dict[str, object]]:
    report = json.loads((out / "report.json").read_text())
    return {drive["name"]: drive for drive in report["drives"]}


def test_a_failed_drive_is_reported_and_a_complete_one_is_skipped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = ["run", "--source", str(folder / "*"), "--out", str(out), *OPTIONS]
    assert main(command) == 1
    states = report_of(out)
    assert states["good"]["state"] == "done" and states["broken"]["state"] == "failed"
    assert states["good"]["report"]["frames"] == 1 and (out / "good" / "000000.npz").is_file()  # type: ignore[index]
    assert "occdepth run" in str(states["broken"]["error"]) and (out / "broken.log").is_file()

    again: list[str] = []

    def repaired(task: Task) -> Outcome:
        again.append(task.name)
        return Outcome(task.name, task.values["source"], "done")

    monkeypatch.setattr(drives, "run_task", repaired)
    assert main(command) == 0
    assert again == ["broken"] and report_of(out)["good"]["state"] == "skipped"
    # other options give other results
    assert main([*command, "--octomap"]) == 0
    assert again == ["broken", "broken", "good"]


def test_drives_of_the_same_name_have_different_results(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "image").mkdir(parents=True)
    names = [name for name, _ in drives.named_drives(tmp_path / "*" / "image")]
    assert names == ["a_image", "b_image"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--source", "no/such/*"], "no drive matches"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_invalid_arguments_are_reported(
    arguments: list[str], sentence: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["map", "--source", str(folder / "*"), "--out", str(tmp_path / "out"), *OPTIONS, *arguments]
    assert main(command) == 2
    assert sentence in capsys.readouterr().err


def test_a_cluster_runs_drives_and_reports_those_that_fail(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'ray[default]'")
    # Ray lowers the priority of its workers, which would have to wait for every other process of a busy machine
    monkeypatch.setenv("RAY_worker_niceness", "0")
    out = tmp_path / "out"
    command = ["run", "--source", str(folder / "*"), "--out", str(out), *OPTIONS, "--ray", "local"]
    assert main(command) == 1
    states = report_of(out)
    assert states["good"]["state"] == "done" and (out / "good" / "000000.npz").is_file()
    assert states["broken"]["state"] == "failed" and "occdepth run" in str(states["broken"]["error"])
    # a second call runs what is not complete
    assert main(command) == 1
    states = report_of(out)
    assert states["good"]["state"] == "skipped" and states["broken"]["state"] == "failed"


def test_without_ray_the_option_names_the_package(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    command = ["run", "--source", str(folder / "*"), "--out", str(tmp_path), *OPTIONS, "--ray", "local"]
    assert main(command) == 2
    assert "ray[default]" in capsys.readouterr().err
