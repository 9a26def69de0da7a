"""The report of an evaluation as tables of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from occdepth_ros.evaluation.report import HEADLINE, REGIONS

PRESENT = "mIoU present"
"""Heading of the mean IoU over the classes in the ground truth."""
CALIBRATION = {
    "ece": "ECE",
    "confidence": "mean conf.",
    "accuracy": "right",
    "unknown": "unknown",
    "occupied": "occupied",
    "occupied_of_unknown": "of the unknown",
    "occupied_of_free": "of the free",
}
"""Columns of the table of calibration."""


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the tables, all scores in percent."""
    table = Table(title=f"{report['model']} against {report['ground_truth']}, {report['frames']} frames, percent")
    table.add_column("", no_wrap=True)
    for name in (*HEADLINE.values(), PRESENT):
        table.add_column(name, justify="right")
    table.add_column("counted", justify="right")
    table.add_row("all", *_cells(report), f"{report['frames']} frames", style="bold", end_section=True)
    for name, scores in report["regions"].items():
        table.add_row(REGIONS[name], *_cells(scores), f"{scores['voxels'] / 1e6:.1f} M voxels")
    if len(report["by_sequence"]) > 1:
        table.add_section()
        for name, scores in report["by_sequence"].items():
            table.add_row(f"place {name}", *_cells(scores), f"{scores['frames']} frames")
    console.print(table)
    _print_places(report["places"], console)
    _print_classes(report, console)
    if pixels := report.get("pixels"):
        console.print(
            f"pixels of the left image: {pixels['accuracy']:.1f} % of {pixels['labelled']:,} labelled ones right, "
            f"mIoU {pixels['miou']:.1f} %, over classes present {pixels['present_miou']:.1f} %",
            highlight=False,
        )
    if (disparity := report.get("disparity")) and disparity["median"] is not None:
        ranges = (f"{e:+.2f} ({name})" for name, e in disparity["by_disparity"].items() if e is not None)
        console.print(
            f"true minus predicted disparity of {disparity['pixels']:,} pixels: median {disparity['median']:+.2f}; by "
            f"true disparity {', '.join(ranges)}; outliers {disparity['outliers']:.1f} %",
            highlight=False,
        )
    if report.get("calibration"):
        print_calibration(report["calibration"], console)


def _print_places(places: Mapping[str, Any], console: Console) -> None:
    """Print mean and intervals of two or more places."""
    if "interval" not in places:
        return
    level = f"{100 * places['level']:.0f} %"
    lines = [f"mean over {places['count']} places, bootstrap over places ({level}):"]
    for key in places["mean"]:
        low, high = places["interval"][key]
        pooled = "[{:.1f}, {:.1f}]".format(*places["pooled_interval"][key])
        lines.append(f"  {HEADLINE[key]} {places['mean'][key]:.1f} [{low:.1f}, {high:.1f}]; of all voxels {pooled}")
    console.print("\n".join(lines), highlight=False, markup=False)


def _print_classes(report: Mapping[str, Any], console: Console) -> None:
    """Print IoU and recall of every class; classes missing from the ground truth are marked."""
    names, present = list(report["per_class"]), set(report["present_classes"])
    pixels = (report.get("pixels") or {}).get("per_class")
    classes = Table(title=f"IoU and recall by class, percent; {len(present)} classes present")
    half = -(-len(names) // 2)
    for _ in range(2):
        classes.add_column("class")
        classes.add_column("IoU", justify="right")
        classes.add_column("recall", justify="right")
        if pixels:
            classes.add_column("pixels", justify="right")
    for row in range(half):
        cells: list[str] = []
        for name in names[row::half]:
            values = [report[key][name] for key in ("per_class", "per_class_recall")]
            cells += [name, *(f"{value:.1f}" if name in present else "absent" for value in values)]
            if pixels:
                cells.append(f"{pixels[name]:.1f}")
        classes.add_row(*cells)
    console.print(classes)


def print_calibration(calibration: Mapping[str, Any], console: Console) -> None:
    """Print the reports of `Reliability` by region."""
    table = Table(title="calibration of the labels by region, percent; shares of occupied voxels in the ground truth")
    table.add_column("", no_wrap=True)
    for title in CALIBRATION.values():
        table.add_column(title, justify="right")
    for name, values in calibration.items():
        table.add_row(REGIONS.get(name, name), *(f"{values[key]:.1f}" for key in CALIBRATION))
    console.print(table)


def print_memory(report: Mapping[str, Any], console: Console) -> None:
    """Print the scores of `report` without memory and those of its `with_memory`."""
    other = report["with_memory"]
    table = Table(title=f"without memory, and with that of {other['pairs']} earlier pairs, percent")
    for title in ("", "SC IoU", "with memory", "SSC mIoU", "with memory"):
        table.add_column(title, justify="right" if title else "left")
    rows = {"all": (report, other)}
    rows |= {REGIONS[name]: (report["regions"][name], other["regions"][name]) for name in ("in_view", "out_of_view")}
    for name, pair in rows.items():
        table.add_row(name, *(f"{scores[key]:.2f}" for key in ("sc_iou", "ssc_miou") for scores in pair))
    console.print(table)


def print_variants(variants: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Print the scores by other rigs, and the SSC mIoU relative to the first variant."""
    table = Table(title="the same scenes by other rigs, percent")
    for title in ("rig", "change"):
        table.add_column(title, no_wrap=True)
    for title in ("SC IoU", "SSC mIoU", "relative"):
        table.add_column(title, justify="right")
    first = next(iter(variants.values()))["ssc_miou"]
    for name, row in variants.items():
        relative = 100 * row["ssc_miou"] / first if first else 0.0
        table.add_row(name, row["about"], f"{row['sc_iou']:.1f}", f"{row['ssc_miou']:.1f}", f"{relative:.0f}")
    console.print(table)


def _cells(scores: Mapping[str, Any]) -> list[str]:
    own = scores.get("present_miou")
    return [f"{scores[key]:.2f}" for key in HEADLINE] + ["" if own is None else f"{own:.2f}"]
