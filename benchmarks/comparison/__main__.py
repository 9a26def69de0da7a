"""`python -m benchmarks.comparison`: train and score every row, print the table, write JSON and the README's section.

The command can be stopped at any time: finished rows are kept, and a training resumes after its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.__main__ import ROOT, machine, table, versions
from benchmarks.comparison.ablation import TABLES
from benchmarks.comparison.rows import (
    ANCHORS,
    SHIPPED,
    Labels,
    TrainedRow,
    balance_row,
    blind_labels,
    engine_labels,
    minutes_of,
    row_labels,
    score,
    shipped_rows,
    table_rows,
    train_row,
)
from benchmarks.comparison.scenes import synthetic_scenes
from benchmarks.comparison.section import write_section
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import OccDepthError, OutputError
from occdepth_ros.files import write_whole
from occdepth_ros.training.reporting import LOG


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors that a user can repair are printed as one line on stderr, with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparison", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, metavar="DIR", default=ROOT / "out/comparison", help="folder of trainings and reports")
    add("--scenes", type=Path, metavar="DIR", help="scene files; missing ones are generated (default OUT/scenes)")
    add("--train", type=int, metavar="N", default=240, help="training scenes (%(default)s)")
    add("--test", type=int, metavar="N", default=24, help="held-out scenes (%(default)s)")
    add("--steps", type=int, metavar="N", default=240, help="budget of every row: steps of one scene (%(default)s)")
    add("--seed", type=int, default=42, help="seed of weights and order (%(default)s)")
    add("--workers", type=int, metavar="K", default=2, help="processes that generate scenes (%(default)s)")
    add("--table", choices=TABLES, default="comparison", help="which rows (%(default)s); ablation: MonoOcc's")
    names = [*ANCHORS, *(row.key for rows in TABLES.values() for row in rows), *SHIPPED]
    add("--rows", nargs="+", metavar="NAME", choices=names, help=f"compute only these rows of {', '.join(names)}")
    add("--json", type=Path, metavar="FILE", help="default OUT/TABLE.json")
    add("--readme", type=Path, metavar="FILE", help="write the table between the markers of this file")
    parsed = parser.parse_args(arguments)
    try:
        for name in ("train", "test", "steps", "workers"):
            if getattr(parsed, name) < 1:
                raise OutputError(f"{getattr(parsed, name)} is not positive", where=f"--{name}")
        return run(parsed)
    except OccDepthError as error:
        print(f"comparison: {error}", file=sys.stderr)
        return 2


def run(parsed: argparse.Namespace) -> int:
    """Generate scenes, train, score, print and write the table; existing results are kept."""
    out: Path = parsed.out
    folder = parsed.scenes or out / "scenes"
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    past = tuple(sorted({offset for row in TABLES[parsed.table] for offset in row.past}))
    training = synthetic_scenes(folder, "train", parsed.train, workers=parsed.workers, past=past)
    test = synthetic_scenes(folder, "test", parsed.test, workers=parsed.workers, past=past)
    budget = {"train": parsed.train, "test": parsed.test, "steps": parsed.steps, "seed": parsed.seed}
    reports: dict[str, dict[str, Any]] = {}

    def row(name: str, make: Callable[[], tuple[Callable[[SceneExample], Labels], dict[str, Any]]]) -> None:
        """Train and score a row, unless its report exists or other rows are requested."""
        path = out / name / "report.json"
        if path.exists():
            report = json.loads(path.read_text(encoding="utf-8"))
            if report["budget"] != budget:
                raise OutputError(
                    f"this row was made on another budget: {report['budget']}",
                    where=str(path),
                    remedy="Give another folder by --out.",
                )
        elif parsed.rows is None or name in parsed.rows:
            console.print(f"row {name}")
            predict, facts = make()
            report = {"row": name, "ground_truth": "synthetic", "budget": budget, **facts, **score(test, predict)}
            write_whole(path, (json.dumps(report, indent=1) + "\n").encode())
        else:
            return
        reports[name] = report

    row("blind-prior", lambda: (blind_labels(training), {}))
    row("stereo-geometry", lambda: (engine_labels("stereo-geometry", None), {}))
    of_table = {trained.key: trained for trained in TABLES[parsed.table]}

    def weights_of(trained: TrainedRow) -> Path:
        """Return the weights of a row; the row and its teacher are trained first if necessary."""
        of_teacher = {"teacher": weights_of(of_table[trained.teacher])} if trained.teacher else {}
        return train_row(trained, training, out / trained.key, steps=parsed.steps, seed=parsed.seed, **of_teacher)

    def trained_row(trained: TrainedRow) -> tuple[Callable[[SceneExample], Labels], dict[str, Any]]:
        weights = weights_of(trained)
        as_trained = score(test, row_labels(trained, weights))
        balanced, addend = balance_row(trained, training, weights)
        facts = {"minutes": minutes_of(out / trained.key / LOG), "addend": addend, "as_trained": as_trained}
        return row_labels(trained, balanced), facts

    for name, trained in of_table.items():
        row(name, partial(trained_row, trained))
    for model in SHIPPED if parsed.table == "comparison" else ():
        row(model, partial(_shipped, model))

    rows, shipped = table_rows(reports, TABLES[parsed.table]), shipped_rows(reports)
    if rows:
        console.print(table(f"{parsed.table} on synthetic scenes, percent; {parsed.test} held-out scenes", rows))
    if shipped:
        console.print(table("shipped weights, not trained with this budget, on the same scenes", shipped))
    summary = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "budget": budget,
        "rows": reports,
    }
    write_whole(parsed.json or out / f"{parsed.table}.json", (json.dumps(summary, indent=1) + "\n").encode())
    if parsed.readme is not None:
        write_section(parsed.readme, rows, shipped, summary, name=parsed.table)
    return 0


def _shipped(model: str) -> tuple[Callable[[SceneExample], Labels], dict[str, Any]]:
    return engine_labels(model, None), {}


if __name__ == "__main__":
    sys.exit(main())
