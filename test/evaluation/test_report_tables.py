"""Tables of `occdepth eval`: every score of the report is printed, in percent and with its name."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from occdepth_ros.commands.reproduce import print_pooled
from occdepth_ros.evaluation.report import HEADLINE, REGIONS
from occdepth_ros.evaluation.report_tables import (
    CALIBRATION,
    print_calibration,
    print_memory,
    print_report,
    print_variants,
)


def scores(first: float, **more: Any) -> dict[str, Any]:
    """Scores that differ from each other in their first decimal."""
    return {key: first + index / 10 for index, key in enumerate(HEADLINE)} | more


def printed(function: Any, *arguments: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    function(*arguments, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


PLACES = {
    "count": 2,
    "level": 0.95,
    "mean": {"sc_iou": 51.5, "ssc_miou": 10.4},
    "interval": {"sc_iou": [48.1, 54.2], "ssc_miou": [8.8, 12.3]},
    "pooled_interval": {"sc_iou": [47.7, 53.9], "ssc_miou": [9.1, 11.6]},
}
REPORT: dict[str, Any] = {
    **scores(40.0, present_miou=17.3),
    "model": "some-model",
    "ground_truth": "recon10",
    "frames": 20,
    "regions": {name: scores(60.0, voxels=2_500_000) for name in REGIONS},
    "by_sequence": {"05": scores(71.0, frames=8), "07": scores(82.0, frames=12)},
    "places": PLACES,
    "per_class": {"car": 31.4, "person": 0.0, "road": 77.7},
    "per_class_recall": {"car": 42.5, "person": 0.0, "road": 91.6},
    "present_classes": ["car", "road"],
    "pixels": {
        "accuracy": 83.2,
        "labelled": 1234567,
        "miou": 44.4,
        "present_miou": 55.5,
        "per_class": {"car": 66.6, "person": 11.1, "road": 88.8},
    },
    "disparity": {
        "median": 0.21,
        "pixels": 98_765,
        "by_disparity": {"0 to 5": None, "5 to 12": -0.34},
        "outliers": 6.7,
    },
    "calibration": {"all": dict.fromkeys(CALIBRATION, 1.5) | {"ece": 0.7}},
}


def test_the_report_names_places_regions_classes_and_pixels() -> None:
    text = printed(print_report, REPORT)
    for words in (
        "some-model against recon10, 20 frames",
        "17.30",
        "2.5 M voxels",
        "place 05",
        "place 07",
        "12 frames",
    ):
        assert words in text, words
    for name in REGIONS.values():
        assert name in text, name
    assert "bootstrap over places (95 %)" in text and "51.5 [48.1, 54.2]; of all voxels [47.7, 53.9]" in text
    assert "83.2 % of 1,234,567 labelled ones right" in text
    assert "98,765 pixels: median +0.21; by true disparity -0.34 (5 to 12); outliers 6.7 %" in text
    rows = [line.replace("│", " ").split() for line in text.splitlines() if "person" in line]
    assert rows and "absent" in rows[0] and "31.4" in text and "42.5" in text and "88.8" in text
    assert "0.7" in printed(print_calibration, REPORT["calibration"])


def test_a_report_of_one_place_has_no_interval() -> None:
    one = {"count": 1, "level": 0.95, "mean": PLACES["mean"]}
    report = REPORT | {
        "places": one,
        "by_sequence": {"05": scores(71.0, frames=20)},
        "pixels": None,
        "disparity": None,
        "calibration": None,
    }
    text = printed(print_report, report)
    assert "bootstrap" not in text and "place 05" not in text and "pixels" not in text


def test_scores_with_memory_stand_beside_those_without() -> None:
    regions = {name: scores(20.0) for name in ("in_view", "out_of_view")}
    report = {**scores(30.0), "regions": regions, "with_memory": {**scores(33.0), "regions": regions, "pairs": 5}}
    text = printed(print_memory, report)
    row = next(line for line in text.splitlines() if line.replace("│", " ").split()[:1] == ["all"])
    assert "that of 5 earlier pairs" in text and "30.00" in row and "33.00" in row


def test_variants_are_relative_to_the_first_rig() -> None:
    variants = {"own": scores(40.0, about="unchanged"), "low": scores(40.0, about="height 0.8 m")}
    variants["low"]["ssc_miou"] = variants["own"]["ssc_miou"] / 4
    rows = {
        line.replace("│", " ").split()[0]: line
        for line in printed(print_variants, variants).splitlines()
        if "│" in line
    }
    assert "100" in rows["own"] and "25" in rows["low"] and "height 0.8 m" in rows["low"]
    variants["own"]["ssc_miou"] = 0.0
    assert "low" in printed(print_variants, variants)


def test_the_cross_validation_is_printed_with_its_intervals(capsys: Any) -> None:
    report = {"frames": 20, **scores(50.0), "places": PLACES, "by_place": {"05": scores(61.0), "07": scores(42.0)}}
    print_pooled(report)
    text = capsys.readouterr().out
    assert "20 frames of 2 places" in text and "SC IoU 50.0 [47.7, 53.9]; mean over places 51.5" in text
    assert "05: 61.0" in text and "07: 42.0" in text
