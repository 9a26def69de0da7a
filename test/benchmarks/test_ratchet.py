"""Ratios of benchmarks against their entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("benchmarks", reason="the benchmarks are in the repository only")

from benchmarks import __main__ as runner
from benchmarks.ratchet import TOLERANCE, measured, raised, shortfalls, stored

RATIOS = st.dictionaries(
    st.sampled_from(["map", "outputs"]),
    st.dictionaries(st.sampled_from("abc"), st.floats(0.1, 1000.0), min_size=1),
)


def test_entries_belong_to_benchmarks_and_are_faster_than_the_other_implementation() -> None:
    entries = stored()
    assert entries.keys() <= set(runner.names())
    assert all(ratio > 1 for rows in entries.values() for ratio in rows.values())


def test_ratios_are_read_from_rows_and_failed_benchmarks_have_none() -> None:
    results = {
        "map": {"rows": [{"name": "fusion", "ratio": 7.0}, {"name": "snapshot", "ms": 1.0}]},
        "net": {"error": ""},
    }
    assert measured(results) == {"map": {"fusion": 7.0}}


def test_a_ratio_below_its_entry_is_named_and_benchmarks_that_did_not_run_are_not() -> None:
    entries = {"map": {"fusion": 10.0}, "outputs": {"points": 2.0}}
    assert shortfalls({"map": {"fusion": 10.0 * (1 - TOLERANCE) + 0.01}}, entries) == []
    (text,) = shortfalls({"map": {"fusion": 5.0}}, entries)
    assert text.startswith("map: fusion: the ratio is 5.0, its entry 10.0")
    assert shortfalls({"map": {"other": 5.0}}, entries) == [], "the other implementation is not installed"


@given(now=RATIOS, before=RATIOS)
def test_entries_only_rise_and_then_hold(now: dict[str, dict[str, float]], before: dict[str, dict[str, float]]) -> None:
    after = raised(now, before)
    for name, rows in before.items():
        assert all(after[name][row] >= ratio - 0.005 for row, ratio in rows.items())
    lowest = {name: {row: after[name][row] for row in after[name]} for name in now}
    assert shortfalls(lowest, after) == []
