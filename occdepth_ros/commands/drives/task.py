"""Processing of one of several drives: its arguments as JSON, its process, and the record of its completion.

`python -m occdepth_ros.commands.drives.task` reads one task as JSON from standard input and runs it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from occdepth_ros.errors import OccDepthError
from occdepth_ros.files import write_whole

REPORT = "report.json"
_NOT_OPTIONS = frozenset({"run", "verb", "source", "out", "device", "workers", "ray", "json"})
"""Arguments that do not change the results of a drive."""


@dataclass(frozen=True)
class Task:
    """One drive.

    Args:
        verb: name of the verb.
        name: name of its results.
        values: arguments of the verb as plain values.
        paths: names of the arguments that are paths.
        out: folder of all drives.
        threads: threads of the process; 0 = its default.
    """

    verb: str
    name: str
    values: dict[str, Any]
    paths: list[str]
    out: str
    threads: int = 0


@dataclass(frozen=True)
class Outcome:
    """Result of one drive.

    Args:
        name: as in `Task`.
        source: path of the drive.
        state: "done", "skipped" (complete from an earlier call) or "failed".
        seconds: duration of the process.
        error: last line of the output of a failed drive.
        report: content of the report of the drive.
    """

    name: str
    source: str
    state: str
    seconds: float = 0.0
    error: str = ""
    report: dict[str, Any] | None = None


def run_task(task: Task) -> Outcome:
    """Run one drive in a separate process and record its completion."""
    out = Path(task.out)
    began = time.perf_counter()
    environment = dict(os.environ)
    if task.threads:
        environment.setdefault("OMP_NUM_THREADS", str(task.threads))
    with (out / f"{task.name}.log").open("wb") as log:
        code = subprocess.run(
            [sys.executable, "-m", "occdepth_ros.commands.drives.task"],
            input=json.dumps(asdict(task)).encode(),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        ).returncode
    seconds = round(time.perf_counter() - began, 2)
    source = str(task.values["source"])
    if code != 0:
        lines = (out / f"{task.name}.log").read_text(errors="replace").strip().splitlines()
        return Outcome(task.name, source, "failed", seconds, lines[-1] if lines else f"exit code {code}")
    outcome = Outcome(task.name, source, "done", seconds, report=_report_of(task))
    record = {"options": _options_key(task), **asdict(outcome)}
    write_whole(out / f"{task.name}.json", (json.dumps(record, indent=2) + "\n").encode())
    return outcome


def _options_key(task: Task) -> str:
    """Return the hash of the arguments that determine the results, with size and time of the weights file."""
    values = {key: value for key, value in task.values.items() if key not in _NOT_OPTIONS}
    weights = values.get("weights")
    if weights and Path(weights).is_file():
        about = Path(weights).stat()
        values["weights"] = [weights, about.st_size, about.st_mtime_ns]
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def finished(task: Task) -> Outcome | None:
    """Return the outcome of an earlier call with equal options, None if there is none."""
    try:
        record = json.loads((Path(task.out) / f"{task.name}.json").read_text())
        if record["options"] != _options_key(task) or record["source"] != task.values["source"]:
            return None
        return Outcome(task.name, record["source"], "skipped", 0.0, report=record["report"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _report_of(task: Task) -> dict[str, Any] | None:
    try:
        content = json.loads((Path(task.out) / task.name / REPORT).read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def main() -> int:
    """Run the task on standard input with the verb that it names; return the exit code of the verb."""
    task = Task(**json.loads(sys.stdin.read()))
    values = {k: Path(v) if k in task.paths and v is not None else v for k, v in task.values.items()}
    module = import_module(f"occdepth_ros.commands.{task.verb}")
    try:
        return int(module.run(argparse.Namespace(**values)))
    except OccDepthError as error:
        print(f"occdepth {task.verb}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
