"""`make coverage`: what counts as measured, and when the ratchet fails."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The tool with two parts, data in a temporary folder, and a report of 91.24 %."""
    spec = importlib.util.spec_from_file_location("line_coverage", ROOT / "tools" / "line_coverage.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("a = 1\n")
    for name, value in {
        "PACKAGE": tmp_path / "package",
        "DATA": tmp_path / "data",
        "RATCHET": tmp_path / "ratchet.txt",
        "parts": lambda: {"one": ["test/one"], "two": ["test/two"]},
        "report": lambda names: 91.24,
    }.items():
        monkeypatch.setattr(module, name, value)
    return module


def replace_pytest(monkeypatch: pytest.MonkeyPatch, *results: int) -> list[list[str]]:
    """Replace the runs of pytest by these exit codes, the last one repeatedly; the list fills with the commands."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=results[min(len(commands), len(results)) - 1])

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_an_interrupted_measurement_continues_with_the_parts_that_are_missing(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = replace_pytest(monkeypatch, 0)
    assert tool.main(["one"]) == 0
    assert tool.main([]) == 0
    assert [command[-len(tool.PARALLEL) - 1] for command in commands] == ["test/one", "test/two"]


def test_changed_sources_are_measured_again(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = replace_pytest(monkeypatch, 0)
    assert tool.main([]) == 0 and len(commands) == 2
    (tool.PACKAGE / "a.py").write_text("a = 2\n")
    assert tool.main(["--report"]) == 1
    assert tool.main([]) == 0 and len(commands) == 4


def test_a_coverage_below_the_ratchet_fails_and_update_never_lowers_it(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_pytest(monkeypatch, 0)
    assert tool.main(["--update"]) == 0
    assert tool.ratchet() == pytest.approx(91.2)
    monkeypatch.setattr(tool, "report", lambda names: 90.8)
    assert tool.main(["--update"]) == 1
    assert tool.ratchet() == pytest.approx(91.2)


def test_a_failed_test_runs_a_second_time_and_then_fails_the_measurement(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = replace_pytest(monkeypatch, 1, 0, 1)
    assert tool.main([]) == 1
    assert [command[-2] == "--last-failed" for command in commands] == [False, True, False, True]
    assert "without the parts two" in capsys.readouterr().out
    assert tool.is_measured("one", tool.digest()) and not tool.is_measured("two", tool.digest())


def test_an_unknown_part_is_named(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["three"]) == 2
    assert "three" in capsys.readouterr().out
