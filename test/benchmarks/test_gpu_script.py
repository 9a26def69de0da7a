"""`benchmarks/gpu.sh`: its commands exist, its table contains the results, and a missing GPU is reported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from benchmarks import gpu_run
from benchmarks.gpu_steps import EXPORTED, Step, models, steps
from occdepth_ros.cli import build_parser
from occdepth_ros.commands import bench

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"
COMPARED = {
    "reference_ms": 80.0, "optimized_ms": 20.0, "speedup": 4.0, "label_agreement": 0.9995, "peak_mb": 1500.0,
}  # fmt: skip


def test_every_command_of_the_script_can_be_parsed(tmp_path: Path) -> None:
    planned = steps(tmp_path, 3)
    assert len({step.stem for step in planned}) == len(planned)
    cli = ("python", "-m", "occdepth_ros.cli")
    checked = [step for step in planned if step.command[:3] == cli]
    compiled = [step for step in planned if step.name.startswith("compiled:")]
    assert len(compiled) == sum(not name.startswith("occdepth-edge") for name in models())
    assert len(checked) == len(models()) + len(compiled) + len(EXPORTED) + 2
    for step in checked:
        verb, *arguments = step.command[3:]
        parsed = build_parser(verb).parse_args([verb, *arguments])
        assert parsed.device == "cuda"
    for step in planned:
        if step.command[1].endswith(".py"):
            assert (ROOT / step.command[1]).is_file()
    assert {"occdepth-edge", "occdepth-edge-sfa", "occdepth-b3", "occdepth-b7", "occdepth-mono", "monoscene"} <= set(
        models()
    )
    assert set(models()) <= set(bench.MODELS)


def without_driver() -> dict[str, str]:
    """The environment of a machine without nvidia-smi."""
    kept = [d for d in os.environ["PATH"].split(os.pathsep) if not (Path(d) / "nvidia-smi").exists()]
    return dict(os.environ) | {"PATH": os.pathsep.join(kept), "PYTHON": sys.executable}


def test_a_dry_run_lists_every_step_and_missing_parts() -> None:
    done = subprocess.run(
        [SCRIPT, "--dry-run", "--frames", "7"], capture_output=True, text=True, check=False, env=without_driver()
    )
    assert done.returncode == 0, done.stderr
    assert "nvidia-smi is absent" in done.stdout
    for step in steps(Path("out/gpu"), 7):
        assert f"# {step.name}; needs {step.needs}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [((), 3, "--dry-run lists"), (("--frames", "0"), 2, "positive number"), (("--fast",), 2, "no option --fast")],
)
def test_steps_that_cannot_run_are_reported(arguments: tuple[str, ...], code: int, text: str) -> None:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, env=without_driver())
    assert done.returncode == code
    assert text in done.stderr


def test_steps_become_rows(tmp_path: Path) -> None:
    (tmp_path / "bench_m.json").write_text(json.dumps([COMPARED]))
    writes = ("python", "-c", "print('\\x1b[1mNCCL is right\\x1b[0m')")
    good = gpu_run.run_step(Step("nccl", writes), tmp_path)
    assert (good.state, good.finding) == ("ok", "NCCL is right")
    bench_row = gpu_run.run_step(Step("bench:m", ("python", "-c", "pass")), tmp_path)
    assert bench_row.finding == "reference 80.0 ms, optimized 20.0 ms: 4.00 x, labels equal on 99.950%, peak 1500 MB"
    failed = gpu_run.run_step(Step("train", ("python", "-c", "raise SystemExit('no room')")), tmp_path)
    assert failed.state == "FAILED" and "exit code 1: no room" in failed.finding
    unread = gpu_run.run_step(Step("bench:n", ("python", "-c", "pass")), tmp_path)
    assert unread.state == "FAILED" and "bench_n.json" in unread.finding
    when = datetime(2030, 1, 2, tzinfo=timezone.utc)
    text = gpu_run.table([good, failed], {"gpu": "NVIDIA X", "cpu": "c", "cores": 2}, when)
    assert text.startswith("# NVIDIA X, 2030-01-02")
    assert "\n| nccl | ok | " in text and " | NCCL is right |\n" in text


def test_an_export_is_reported_by_its_check(tmp_path: Path) -> None:
    check = {"provider": "CUDAExecutionProvider", "labels": 0.99996, "network_ms": 30.0, "exported_ms": 20.0}
    printed = "a warning\n" + json.dumps({"check": check, "bytes": 2_000_000, "engine": "x.engine"})
    found = gpu_run.finding(Step("tensorrt", ()), tmp_path, printed)
    assert found.startswith("CUDAExecutionProvider: labels equal on 99.996%") and found.endswith("2 MB, x.engine")
    (tmp_path / "tests.xml").write_text('<testsuites><testsuite tests="9" skipped="2"/></testsuites>')
    assert gpu_run.finding(Step("tests", ()), tmp_path, "") == "7 passed, 2 skipped: see the log"


def test_without_a_gpu_no_step_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_run, "machine", lambda: {"gpu": None})
    assert gpu_run.main(["--out", str(tmp_path / "out")]) == 3
    assert "torch finds no GPU" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_failure_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu_run, "machine", lambda: {"gpu": "NVIDIA  Test-9", "cpu": "c", "cores": 2})
    planned = [Step("a", ("python", "-c", "raise SystemExit(1)")), Step("b", ("python", "-c", "print('well')"))]
    monkeypatch.setattr(gpu_run, "steps", lambda out, frames: planned)
    monkeypatch.setattr(gpu_run, "TABLES", tmp_path / "tables")
    assert gpu_run.main(["--out", str(tmp_path / "out")]) == 1
    (path,) = (tmp_path / "tables").iterdir()
    assert path.name.endswith("-nvidia-test-9.md")
    assert "| b | ok |" in path.read_text()
    assert shutil.which("bash")
