"""`python -m benchmarks.drives --source 'drives/*'`: drives per hour of `occdepth map` with one and two workers.

Each row is one call in a process of its own, the start of the processes and of Ray included: local processes
(`--workers`), and a Ray cluster that is started on this machine (`--ray local --workers`). Without Ray, its rows are
left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.__main__ import machine, table

WORKERS = (1, 2)
HAS_RAY = importlib.util.find_spec("ray") is not None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drives", description=__doc__)
    parser.add_argument("--source", required=True, metavar="PATTERN", help="drives with poses, quoted")
    parser.add_argument("--count", type=int, metavar="N", default=10, help="frames of a drive (%(default)s)")
    parser.add_argument("--model", metavar="NAME", default="occdepth-edge", help="(%(default)s)")
    parsed = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(", ".join(f"{k} {v}" for k, v in machine().items()), f"load {os.getloadavg()[0]:.1f}")
    options = ["--source", parsed.source, "--count", str(parsed.count), "--model", parsed.model]
    kinds: dict[str, list[str]] = {"processes": [], **({"Ray": ["--ray", "local"]} if HAS_RAY else {})}
    rows = [
        {"workers": f"{workers} {kind}", **measure([*options, *more, "--workers", str(workers)])}
        for kind, more in kinds.items()
        for workers in WORKERS
    ]
    console.print(table(f"{parsed.model}, {parsed.count} frames a drive", rows))
    return 0


def measure(options: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one call of `occdepth map`.

    Raises:
        subprocess.CalledProcessError: a drive failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "occdepth_ros.cli", "map", "--out", folder, *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        report = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
    return {
        "drives": report["done"],
        "seconds": report["seconds"],
        "drives per hour": report["drives_per_hour"],
        "seconds of a drive": sum(drive["seconds"] for drive in report["drives"]) / len(report["drives"]),
    }


if __name__ == "__main__":
    sys.exit(main())
