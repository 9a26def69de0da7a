"""Timings over the frames of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from occdepth_ros.commands.run.statistics import RunStatistics


def added(monkeypatch: pytest.MonkeyPatch, totals: list[float]) -> RunStatistics:
    statistics = RunStatistics()
    for total in totals:
        prediction: Any = SimpleNamespace(timings_ms={"total": total})
        monkeypatch.setattr(statistics.scores, "add", lambda *_: {})
        statistics.add(prediction, None)
    return statistics


def test_the_first_pair_is_reported_apart_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = added(monkeypatch, [9000.0, 100.0, 300.0])
    assert statistics.timings() == {"total": {"first": 9000.0, "mean": 200.0, "p95": 290.0}}
    assert statistics.rate == pytest.approx(5.0)


def test_a_run_of_one_pair_reports_that_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = added(monkeypatch, [500.0])
    assert statistics.timings() == {"total": {"first": 500.0, "mean": 500.0, "p95": 500.0}}
    assert statistics.rate == pytest.approx(2.0)
