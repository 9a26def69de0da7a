"""Ratios of benchmarks against their entries."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("benchmarks", reason="the benchmarks are in the repository only")

from benchmarks import __main__ as runner
from benchmarks import ratchet
from benchmarks.ratchet import TOLERANCE, measured, processor, raised, shortfalls, stored

RATIOS = st.dictionaries(
    st.sampled_from(["map", "outputs"]),
    st.dictionaries(st.sampled_from("abc"), st.floats(0.1, 1000.0), min_size=1),
)


def test_entries_belong_to_benchmarks_and_are_faster_than_the_other_implementation() -> None:
    stored_entries = stored()
    assert stored_entries.keys() >= {"Intel, AMX", "AMD, AVX-512"}
    for entries in stored_entries.values():
        assert entries.keys() <= set(runner.names())
        assert all(ratio > 1 for rows in entries.values() for ratio in rows.values())


@pytest.mark.parametrize(
    ("vendor", "flags", "kind"),
    [
        ("GenuineIntel", "sse2 avx2 avx512f amx_tile", "Intel, AMX"),
        ("AuthenticAMD", "avx2 avx512f", "AMD, AVX-512"),
        ("AuthenticAMD", "avx avx2", "AMD, AVX2"),
        ("GenuineIntel", "sse2", "Intel"),
    ],
)
def test_processors_are_told_apart_by_maker_and_vector_instructions(vendor: str, flags: str, kind: str) -> None:
    core = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: x\nflags\t\t: {flags}\n\n"
    assert processor(core + core) == kind


def test_a_processor_without_maker_is_named_by_its_architecture() -> None:
    assert processor("processor\t: 0\nCPU implementer\t: 0x41\n") == processor("") == platform.machine()


def judged(
    monkeypatch: pytest.MonkeyPatch, folder: Path, kind: str, ratio: float, *options: str, load: float = 0.0
) -> int:
    """Run the benchmark `map` with one row of this ratio on this kind of processor, with entry 10 for "AMD, AVX2"."""
    file = folder / "ratios.json"
    file.write_text(json.dumps({"AMD, AVX2": {"map": {"fusion": 10.0}}}))
    module = SimpleNamespace(run=lambda: [{"name": "fusion", "ratio": ratio}], __doc__="About.")
    monkeypatch.setattr(runner, "names", lambda: ["map"])
    monkeypatch.setitem(sys.modules, "benchmarks.bench_map", module)
    monkeypatch.setattr(ratchet, "FILE", file)
    monkeypatch.setattr(ratchet, "this_processor", lambda: kind)
    monkeypatch.setattr(f"{ratchet.__name__}.os.getloadavg", lambda: (load, 0.0, 0.0))
    return runner.main(["--json", str(folder / "bench.json"), *options])


def test_a_run_fails_below_the_entry_of_its_own_processor_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(monkeypatch, tmp_path, "AMD, AVX2", 9.0) == 0
    assert judged(monkeypatch, tmp_path, "AMD, AVX2", 5.0) == 1
    assert "AMD, AVX2: map: fusion: the ratio is 5.0" in capsys.readouterr().out
    assert judged(monkeypatch, tmp_path, "Intel", 5.0) == 0
    assert "ratios of Intel: no entries" in capsys.readouterr().out


def test_a_loaded_machine_is_neither_judged_nor_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load = float(len(os.sched_getaffinity(0)))
    assert judged(monkeypatch, tmp_path, "AMD, AVX2", 5.0, load=load) == 0
    assert judged(monkeypatch, tmp_path, "AMD, AVX2", 50.0, "--update", load=load) == 0
    assert capsys.readouterr().out.count("was not quiet") == 2
    assert json.loads((tmp_path / "ratios.json").read_text()) == {"AMD, AVX2": {"map": {"fusion": 10.0}}}


def test_update_records_a_processor_and_keeps_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert judged(monkeypatch, tmp_path, "Intel", 5.0, "--update") == 0
    assert json.loads((tmp_path / "ratios.json").read_text()) == {
        "AMD, AVX2": {"map": {"fusion": 10.0}},
        "Intel": {"map": {"fusion": 5.0}},
    }


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
