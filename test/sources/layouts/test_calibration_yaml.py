"""YAML of calibrations: values that YAML reads as another type, and repeated entries, are refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from occdepth_ros.errors import CalibrationError
from occdepth_ros.sources.layouts.calibration_yaml import numbers_of, parse_yaml


@pytest.mark.parametrize("word", ["yes", "no", "on", "true"])
def test_words_are_no_numbers(word: str) -> None:
    value = parse_yaml(f"baseline: {word}\nmatrix: [1, 0, {word}]", "c.yaml")
    with pytest.raises(CalibrationError, match=r"baseline is .*not a finite number"):
        numbers_of([value["baseline"]], 1, "baseline", "c.yaml")
    with pytest.raises(CalibrationError, match="matrix"):
        numbers_of(value["matrix"], 3, "matrix", "c.yaml")


def test_numbers_may_be_text_with_decimal_points() -> None:
    value = parse_yaml("m: ['1', 2, 3e-1]", "c.yaml")["m"]
    np.testing.assert_allclose(numbers_of(value, 3, "m", "c.yaml"), [1, 2, 0.3])


@pytest.mark.parametrize("text", ["a: 1\nbaseline: 0.3\nbaseline: 0.6", "left:\n  a: 1\n  a: 2"])
def test_a_repeated_entry_is_named_with_its_line(text: str) -> None:
    with pytest.raises(CalibrationError, match=r"line 3.*the entry '(baseline|a)' is repeated"):
        parse_yaml(text, "c.yaml")


def test_merged_entries_may_be_replaced() -> None:
    entries = parse_yaml("base: &b {x: 1, y: 2}\nleft:\n  <<: *b\n  x: 3", "c.yaml")
    assert entries["left"] == {"x": 3, "y": 2}


def test_tabs_are_named_in_the_remedy() -> None:
    with pytest.raises(CalibrationError, match="blanks instead of tabs"):
        parse_yaml("left:\n\ta: 1", "c.yaml")
