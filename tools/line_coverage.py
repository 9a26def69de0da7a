#!/usr/bin/env python3
"""Line coverage by the fast tests, processes included, against the ratchet of tools/coverage_ratchet.txt.

tools/line_coverage.py                       the tests in FAST, compared with the ratchet
tools/line_coverage.py --update              the same, and raise the ratchet to the measured value
tools/line_coverage.py PYTEST ARGUMENTS      other tests, compared with nothing

FAST are the tests of the code that runs on a robot; training, evaluation and export take many minutes under coverage
and are left out, with their packages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RATCHET = ROOT / "tools" / "coverage_ratchet.txt"
FAST = (
    *("test/stereo", "test/sources", "test/outputs", "test/mapping", "test/planning", "test/nodes"),
    *("test/visualization", "test/commands/test_doctor.py", "test/commands/test_doctor_rig.py", "test/test_camera.py"),
    *(
        "test/test_classes.py",
        "test/test_cli.py",
        "test/test_engine.py",
        "test/test_grid.py",
        "test/test_prediction.py",
    ),
)
"""Tests that the ratchet belongs to."""
PACKAGES = ("nodes", "stereo", "sources", "outputs", "mapping", "planning", "visualization")
"""Packages of `occdepth_ros` that are measured, beside its modules."""
TOLERANCE = 0.3
"""Percentage points that a run may fall below the ratchet, because retries in nodes depend on timing."""
CONFIGURATION = """[run]
include = {include}
parallel = true
concurrency = multiprocessing, thread
sigterm = true
data_file = {folder}/data
patch = subprocess
[report]
exclude_also =
    if TYPE_CHECKING:
    if __name__ == .__main__.:
    @(abc\\.)?abstractmethod
    ^\\s*\\.\\.\\.$
"""


def main(arguments: list[str]) -> int:
    """Measure; 1 if FAST covers less than the ratchet."""
    update = "--update" in arguments
    given = [argument for argument in arguments if argument != "--update"]
    chosen = given or [*FAST, "-n", "2", "--dist", "loadfile"]
    include = ", ".join(["occdepth_ros/*.py", *(f"occdepth_ros/{name}/*" for name in PACKAGES)])
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "coveragerc"
        configuration.write_text(CONFIGURATION.format(folder=folder, include=include), encoding="utf-8")
        coverage = [sys.executable, "-m", "coverage"]
        option = f"--rcfile={configuration}"
        environment = {**os.environ, "COVERAGE_PROCESS_START": str(configuration)}
        command = [*coverage, "run", option, "-m", "pytest", "-q", *chosen]
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        subprocess.run([*coverage, "combine", "-q", option], cwd=ROOT, check=False)
        report = Path(folder) / "report.json"
        subprocess.run([*coverage, "json", "-q", option, "-o", str(report)], cwd=ROOT, check=True)
        files = json.loads(report.read_text(encoding="utf-8"))
    percent = float(files["totals"]["percent_covered"])
    lowest = sorted(files["files"].items(), key=lambda item: -item[1]["summary"]["missing_lines"])[:15]
    for name, entry in lowest:
        summary = entry["summary"]
        print(f"{summary['percent_covered']:5.1f} %  {summary['missing_lines']:4d} lines missing  {name}")
    print(f"line coverage {percent:.1f} %, ratchet {ratchet():.1f} %")
    if update:
        RATCHET.write_text(f"{max(percent, ratchet()):.1f}\n", encoding="utf-8")
    if code or given:
        return code
    return int(percent < ratchet() - TOLERANCE)


def ratchet() -> float:
    """Return the line coverage that the tests in FAST must reach, percent."""
    return float(RATCHET.read_text(encoding="utf-8")) if RATCHET.is_file() else 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
