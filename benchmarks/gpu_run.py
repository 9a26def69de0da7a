"""Second part of `benchmarks/gpu.sh`: run every step, keep its log, and write one table with date and GPU."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markdown import Markdown

from benchmarks.__main__ import ROOT, machine, versions
from benchmarks.gpu_steps import Step, steps
from occdepth_ros.files import write_whole

TABLES = ROOT / "benchmarks" / "gpu"
OK, FAILED, LEFT_OUT = "ok", "FAILED", "left out"


@dataclass(frozen=True)
class Outcome:
    """Result of a step."""

    step: Step
    state: str
    seconds: float
    finding: str


def run_step(step: Step, out: Path) -> Outcome:
    """Run one step with its output in a log; failures of the step do not raise."""
    if step.name == "tensorrt" and find_spec("tensorrt") is None:
        return Outcome(step, LEFT_OUT, 0.0, "TensorRT is not installed: pip install tensorrt")
    log = out / f"{step.stem}.log"
    command = [sys.executable if part == "python" else part for part in step.command]
    variables = dict(os.environ)
    if step.name.startswith(("export", "tensorrt")):
        # precedes the environment's own runtime, which has no CUDA support
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(out / "runtime"), os.environ.get("PYTHONPATH")]))
    begin = time.monotonic()
    with log.open("wb") as file:
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env=variables, check=False)
    seconds = time.monotonic() - begin
    text = log.read_text(encoding="utf-8", errors="replace")
    if done.returncode:
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "no output")
        return Outcome(step, FAILED, seconds, f"exit code {done.returncode}: {last.strip()[:160]} ({log})")
    try:
        return Outcome(step, OK, seconds, finding(step, out, text))
    except (OSError, ValueError, KeyError, IndexError, ElementTree.ParseError) as error:
        return Outcome(step, FAILED, seconds, f"its result cannot be read ({type(error).__name__}: {error}; {log})")


def finding(step: Step, out: Path, text: str) -> str:
    """Return the numbers of a successful step as one line.

    Raises:
        OSError, ValueError, KeyError, IndexError, ElementTree.ParseError: the result is missing or damaged.
    """
    kind = step.name.partition(":")[0]
    if kind == "tests":
        suite = next(ElementTree.parse(out / "tests.xml").iter("testsuite")).attrib
        skipped = int(suite["skipped"])
        return f"{int(suite['tests']) - skipped} passed" + (f", {skipped} skipped: see the log" if skipped else "")
    if kind in ("bench", "compiled"):
        (entry,) = json.loads((out / f"{step.stem}.json").read_text())
        return comparison(entry)
    if kind == "network":
        rows = json.loads((out / "network.json").read_text())["benchmarks"]["network"]["rows"]
        return "; ".join(f"{row['stage']}: {comparison(row)}" for row in rows if "label_agreement" in row)
    if kind in ("export", "tensorrt"):
        report = json.loads(text.splitlines()[-1])
        check = report["check"]
        engine = f", {report['engine']}" if "engine" in report else ""
        return (
            f"{check['provider']}: labels equal on {check['labels']:.3%}, PyTorch {check['network_ms']:.1f} ms, "
            f"ONNX Runtime {check['exported_ms']:.1f} ms, {report['bytes'] / 1e6:.0f} MB{engine}"
        )
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.strip()]
    return lines[-1][:160] if lines else "done"


def comparison(entry: dict[str, Any]) -> str:
    """Return the text of a result of `occdepth bench`."""
    peak = "" if entry["peak_mb"] is None else f", peak {entry['peak_mb']:.0f} MB"
    return (
        f"reference {entry['reference_ms']:.1f} ms, optimized {entry['optimized_ms']:.1f} ms: "
        f"{entry['speedup']:.2f} x, labels equal on {entry['label_agreement']:.3%}{peak}"
    )


def table(outcomes: Sequence[Outcome], about: dict[str, Any], when: datetime) -> str:
    """Return the results as Markdown."""
    lines = [
        f"# {about['gpu']}, {when:%Y-%m-%d %H:%M} UTC",
        "",
        f"{about['cpu']}, {about['cores']} cores; " + ", ".join(f"{k} {v}" for k, v in versions().items()),
        "",
        "`benchmarks/gpu.sh`. Weights are the shipped ones, else random; random weights amplify rounding.",
        "",
        "| step | state | s | finding |",
        "|---|---|---|---|",
    ]
    for outcome in outcomes:
        cells = (outcome.step.name, outcome.state, f"{outcome.seconds:.0f}", outcome.finding.replace("|", "/"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all steps; return 1 if a step failed, 3 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_run", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    parser.add_argument("--frames", type=int, default=10)
    parsed = parser.parse_args(arguments)
    about = machine()
    if about["gpu"] is None:
        print("benchmarks/gpu.sh: torch finds no GPU; see `.venv/bin/occdepth doctor`", file=sys.stderr)
        return 3
    out: Path = parsed.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    when = datetime.now(timezone.utc)
    outcomes = []
    planned = steps(out, parsed.frames)
    for number, step in enumerate(planned, start=1):
        console.print(f"[{number}/{len(planned)}] {step.name}", markup=False)
        outcomes.append(run_step(step, out))
        console.print(f"    {outcomes[-1].state}, {outcomes[-1].seconds:.0f} s: {outcomes[-1].finding}", markup=False)
    text = table(outcomes, about, when)
    card = re.sub(r"[^a-z0-9]+", "-", str(about["gpu"]).lower()).strip("-")
    path = TABLES / f"{when:%Y-%m-%d}-{card}.md"
    write_whole(path, text.encode())
    console.print(Markdown(text))
    console.print(f"written: {path}", markup=False)
    return 1 if any(outcome.state == FAILED for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
