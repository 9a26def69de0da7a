"""`python -m benchmarks.anchors`: fit the anchors to training scenes, score them on test scenes, print the table."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.__main__ import machine, table, versions
from benchmarks.anchors.rows import Anchors, rows
from benchmarks.anchors.scenes import open_scenes
from occdepth_ros.errors import OccDepthError
from occdepth_ros.files import write_whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors that a user can repair are printed as one line on stderr, with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anchors", description=__doc__)
    add = parser.add_argument
    add("--dataset", choices=["semantic_kitti", "synthetic"], default="semantic_kitti", help="default: %(default)s")
    add("--root", type=Path, metavar="DIR", help="the folder with dataset/, or dataset itself")
    add("--labels", metavar="NAME", default="official", help="official, or a derived ground truth such as recon10")
    add("--train", nargs="+", metavar="SS", required=True, help="sequences to fit to; number of synthetic scenes")
    add("--test", nargs="+", metavar="SS", required=True, help="sequences to score on; number of synthetic scenes")
    add("--json", type=Path, metavar="FILE", help="file of the reports")
    parsed = parser.parse_args(arguments)
    try:
        return run(parsed)
    except OccDepthError as error:
        print(f"anchors: {error}", file=sys.stderr)
        return 2


def run(parsed: argparse.Namespace) -> int:
    """Fit the anchors, score them, print the table, and write the reports."""
    train = open_scenes(parsed, parsed.train, "train")
    test = open_scenes(parsed, parsed.test, "test")
    anchors = Anchors(train)
    start = time.perf_counter()
    scores = anchors.score(test)
    seconds = {**anchors.seconds, "scoring": round(time.perf_counter() - start, 1)}
    ground_truth = parsed.labels if parsed.dataset == "semantic_kitti" else parsed.dataset
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    title = f"anchors on {ground_truth}, percent; fitted to {' '.join(parsed.train)}, scored on {' '.join(parsed.test)}"
    console.print(table(title, rows(scores)))
    thresholds = {"blind-prior": anchors.prior.threshold, "boosted-trees": anchors.trees.threshold}
    console.print(", ".join(f"{name} {took:.1f} s" for name, took in seconds.items()))
    console.print(f"thresholds, chosen on the training scenes: {thresholds}")
    if parsed.json is not None:
        report: dict[str, Any] = {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
            "dataset": parsed.dataset,
            "ground_truth": ground_truth,
            "train": {"names": parsed.train, "scenes": len(train)},
            "test": {"names": parsed.test, "scenes": len(test)},
            "thresholds": thresholds,
            "seconds": seconds,
            "rows": {name: scored.report() for name, scored in scores.items()},
        }
        write_whole(parsed.json, (json.dumps(report, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
