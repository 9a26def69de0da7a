"""Diagnostics that the guides name exist in the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "docs" / name for name in ("troubleshooting.md", "calibration.md", "deployment.md")]
STATUS = re.compile(r"values? ((?:`[^`]+`(?:, | and )?)+)")
FAULTS = re.compile(r"faults? ((?:`[a-z_<>]+`(?: \(`?[^)]*\))?(?:, | and | or )?)+)")
NAME = re.compile(r"`([^`]+)`")


@pytest.fixture(scope="module")
def words() -> set[str]:
    """All string constants of the package, with the constant parts of formatted strings."""
    found: set[str] = set()
    for path in (ROOT / "occdepth_ros").rglob("*.py"):
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                found.add(item.value)
    return found


def named(page: Path, pattern: re.Pattern[str]) -> list[str]:
    return [name for match in pattern.findall(page.read_text(encoding="utf-8")) for name in NAME.findall(match)]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_named_faults_exist(page: Path, words: set[str]) -> None:
    for name in named(page, FAULTS):
        known = name in words or (name.startswith("output_<") and "output_" in words)
        assert known, f"{page.name} names the fault {name!r}, which no code sets"


def test_every_fault_of_the_node_is_in_a_guide() -> None:
    text = " ".join(page.read_text(encoding="utf-8") for page in GUIDES)
    calls = (
        (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", ""), call.args[0])
        for path in (ROOT / "occdepth_ros" / "nodes").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and call.args
    )
    names = {
        first.value
        for function, first in calls
        if function in ("put", "NamedError") and isinstance(first, ast.Constant) and isinstance(first.value, str)
    }
    names = {name.replace("output_processing_time", "output_<topic>") for name in names}
    assert len(names) > 20 and {name for name in names if f"`{name}`" not in text} == set()


def test_named_values_exist(words: set[str]) -> None:
    parts = [part for part in words if part.strip()]
    for name in named(GUIDES[0], STATUS):
        # keys may be composed, such as f"{side} without partner"
        known = name in words or any(len(part) > 4 and part in name for part in parts if part.startswith((" ", "/")))
        assert known, f"troubleshooting.md names the value {name!r}, which no status has"


def test_the_symptoms_of_the_guide_are_covered_and_each_has_a_diagnostic() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in GUIDES[0].read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    symptoms = " ".join(row[0] for row in rows)
    for symptom in ("nothing is published", "wrong scale", "everything is free", "RViz is slow", "messages are lost"):
        assert symptom in symptoms
    for symptom, cause, diagnostic, remedy in rows:
        assert symptom and cause and diagnostic and remedy


def test_calibration_tables_name_faults(words: set[str]) -> None:
    table = GUIDES[1].read_text(encoding="utf-8").partition("| mistake | fault |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    faults = {name for row in rows for name in NAME.findall(row.split("|")[2]) if name != "extrinsics: auto"}
    assert len(faults) > 8 and faults <= words
