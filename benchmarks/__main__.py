"""`python -m benchmarks [NAME ...]`: run the benchmarks, print their tables, write one JSON file."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import occdepth_ros
from benchmarks import ratchet
from occdepth_ros.files import write_whole

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
LIBRARIES = ("numpy", "torch", "torchvision", "timm", "opencv-python-headless", "ros-rclpy")
Rows = list[dict[str, Any]]


def names() -> list[str]:
    """Return the names of all benchmarks, without the prefix `bench_`."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def machine() -> dict[str, Any]:
    """Return a description of this machine."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": gpu(),
        "system": platform.platform(),
    }


def gpu() -> str | None:
    """Return the name of the GPU that torch uses, None without a GPU."""
    torch = importlib.import_module("torch")
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def versions() -> dict[str, str]:
    """Return the versions of the package and of its libraries."""
    found = {"occdepth_ros": occdepth_ros.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = ""
    if shutil.which("git"):
        command = ["git", "describe", "--always", "--dirty"]
        commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return found | ({"commit": commit} if commit else {})


def table(title: str, rows: Rows) -> Table:
    """Return the rows as a table; numbers are right-aligned with four significant digits."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    made = Table(title=title, title_justify="left")
    for column in columns:
        is_number = all(isinstance(row.get(column), int | float | None) for row in rows)
        made.add_column(column, justify="right" if is_number else "left")
    for row in rows:
        made.add_row(*(show(row.get(column)) for column in columns))
    return made


def show(value: object) -> str:
    """Return the text of one cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the selected benchmarks; return 1 if one or a part of one failed, or a ratio fell below its entry."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default all: {', '.join(names()) or 'none yet'}")
    parser.add_argument("--update", action="store_true", help="raise or record the entries of this kind of processor")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default out/bench/<date>.json")
    parsed = parser.parse_args(arguments)
    if unknown := sorted(set(parsed.names) - set(names())):
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(names())}")

    now, is_quiet = datetime.now(timezone.utc), ratchet.is_quiet()
    report: dict[str, Any] = {"date": now.isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(f"{report['date']}  {' '.join(f'{k} {v}' for k, v in report['versions'].items())}")
    console.print(", ".join(f"{k} {v}" for k, v in report["machine"].items()))
    results: dict[str, Any] = {}
    for name in parsed.names or names():
        start = time.perf_counter()
        try:
            module = importlib.import_module(f"benchmarks.bench_{name}")
            rows: Rows = module.run()
        except Exception:
            results[name] = {"error": traceback.format_exc()}
            console.print(f"{name} failed:\n{results[name]['error']}", markup=False)
            continue
        seconds = time.perf_counter() - start
        results[name] = {"rows": rows, "seconds": round(seconds, 3)}
        console.print(table(f"{name}: {(module.__doc__ or name).splitlines()[0]} ({seconds:.1f} s)", rows))
    path = parsed.json or ROOT / "out" / "bench" / f"{now:%Y%m%dT%H%M%SZ}.json"
    write_whole(path, json.dumps(report | {"benchmarks": results}, indent=1, default=str).encode())
    console.print(f"written: {path}")
    now_ratios, stored, processor = ratchet.measured(results), ratchet.stored(), ratchet.this_processor()
    entries = stored.get(processor, {})
    for text in (short := ratchet.shortfalls(now_ratios, entries)):
        console.print(f"{processor}: {text}", markup=False)
    if (short or parsed.update) and not is_quiet:
        console.print("the machine was not quiet before the start: ratios are neither judged nor recorded")
        short = []
    elif parsed.update:
        stored[processor] = ratchet.raised(now_ratios, entries)
        write_whole(ratchet.FILE, (json.dumps(stored, indent=1) + "\n").encode())
    elif now_ratios and not entries:
        console.print(f"ratios of {processor}: no entries to compare with; --update records them", markup=False)
    # a benchmark with several parts continues after a failure and reports it in a row
    parts = [*results.values(), *(row for result in results.values() for row in result.get("rows", ()))]
    return 1 if short or any("error" in part for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
