"""The table of drives per hour: one row for each number of workers, from the report of the command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import drives


def test_every_kind_of_worker_has_a_row_of_its_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = []

    def run(command: Sequence[str], **_: Any) -> None:
        commands.append(list(command))
        workers = int(command[command.index("--workers") + 1])
        report = {
            "done": 4,
            "seconds": 60.0 / workers,
            "drives_per_hour": 240.0 * workers,
            "drives": 4 * [{"seconds": 15.0}],
        }
        (Path(command[command.index("--out") + 1]) / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(drives, "machine", dict)
    monkeypatch.setattr(drives, "HAS_RAY", True)
    assert drives.main(["--source", "drives/*", "--count", "2"]) == 0
    assert [("--ray" in command, command[-1]) for command in commands] == [
        (False, "1"),
        (False, "2"),
        (True, "1"),
        (True, "2"),
    ]
    text = capsys.readouterr().out
    assert "2 Ray" in text and "480" in text
