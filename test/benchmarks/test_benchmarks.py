"""The runner behind `make bench`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import __main__ as runner
from benchmarks.bench_network import compared
from benchmarks.growth import VARIANTS, times
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import PRESETS


def offer(monkeypatch: pytest.MonkeyPatch, **runs: Any) -> None:
    """Replace all benchmarks by these callables."""
    monkeypatch.setattr(runner, "names", lambda: sorted(runs))
    for name, run in runs.items():
        monkeypatch.setitem(sys.modules, f"benchmarks.bench_{name}", SimpleNamespace(run=run, __doc__=f"About {name}."))


def fail() -> list[dict[str, Any]]:
    raise ValueError("no such luck")


def test_tables_and_json_hold_every_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"what": "dense", "ms": 12.3456, "bytes": 1234567}, {"what": "sparse", "bytes": 5}]
    offer(monkeypatch, grid=lambda: rows)
    path = tmp_path / "deep" / "bench.json"
    assert runner.main(["--json", str(path)]) == 0
    text = capsys.readouterr().out
    for cell in ("About grid.", "dense", "12.35", "1,234,567", "sparse"):
        assert cell in text
    report = json.loads(path.read_text())
    assert report["benchmarks"]["grid"]["rows"] == rows
    assert report["machine"]["cores"] >= 1
    assert {"python", "numpy", "torch", "occdepth_ros"} <= set(report["versions"])
    assert [p.name for p in path.parent.iterdir()] == ["bench.json"]


def test_a_failure_is_reported_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, bad=fail, good=lambda: [{"ms": 1}])
    path = tmp_path / "bench.json"
    assert runner.main(["--json", str(path)]) == 1
    assert "no such luck" in capsys.readouterr().out
    results = json.loads(path.read_text())["benchmarks"]
    assert "no such luck" in results["bad"]["error"]
    assert results["good"]["rows"] == [{"ms": 1}]


def test_a_failed_part_is_a_row_and_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, net=lambda: compared(["--model", "occdepth-edge", "--precision", "mixed"], "occdepth-edge"))
    assert runner.main(["--json", str(tmp_path / "bench.json")]) == 1
    assert "occdepth-edge" in (text := capsys.readouterr().out) and "has no precision mixed" in " ".join(text.split())


def test_growth_varies_one_size_at_a_time() -> None:
    base, *others = VARIANTS.values()
    changed = [
        {key for key, value in vars(base).items() if getattr(other, key) != value} - {"name"} for other in others
    ]
    assert changed == [{"image"}, {"grid"}, {"feature"}, {"backbone", "feature"}]
    small = replace(PRESETS["occdepth-small"], grid=VoxelGrid((0.0, -3.2, -2.0), (32, 32, 32), 0.2), image=(64, 128))
    found = times(small, None, 1, "float32")
    assert found["all"] == pytest.approx(sum(value for stage, value in found.items() if stage != "all"))
    assert "growth" not in PRESETS


def test_benchmarks_are_selected_by_name_and_unknown_names_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, bad=fail, good=lambda: [{"ms": 1}])
    assert runner.main(["good", "--json", str(tmp_path / "bench.json")]) == 0
    with pytest.raises(SystemExit):
        runner.main(["worse"])
    assert "there are: bad, good" in capsys.readouterr().err
