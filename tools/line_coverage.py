#!/usr/bin/env python3
"""Line coverage of the package by its tests, processes included, against the ratchet of tools/coverage_ratchet.txt.

tools/line_coverage.py                  run all parts, compare with the ratchet
tools/line_coverage.py nodes stereo     run these parts; the report includes what the other parts measured before
tools/line_coverage.py --report         only report
tools/line_coverage.py --update         also raise the ratchet to the measured value

A part is a folder of test/, or `root` for the files beside them. What a part measured is kept in .venv/coverage, so
that a slow or busy machine can measure in several steps, all of one state of the sources. Loops that numba compiles run
as machine code, which
coverage.py cannot see; they are not counted. coverage.py is in the environment of `make env`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RATCHET = ROOT / "tools" / "coverage_ratchet.txt"
DATA = ROOT / ".venv" / "coverage"
OTHERS = {"helpers", "__pycache__"}
PARALLEL = ("-n", "logical", "--maxprocesses", "4", "--dist", "loadfile")
"""Options of pytest, as in `make test`."""
TOLERANCE = 0.3
"""Percentage points that a run may fall below the ratchet, because retries in nodes depend on timing."""
CONFIGURATION = """[run]
source_pkgs = occdepth_ros
parallel = true
concurrency = multiprocessing, thread
sigterm = true
data_file = {data}
patch = subprocess
[paths]
package =
    {root}/occdepth_ros
    */occdepth_ros
[report]
ignore_errors = true
exclude_also =
    if TYPE_CHECKING:
    if __name__ == .__main__.:
    @(abc\\.)?abstractmethod
    ^\\s*\\.\\.\\.$
    ^@compiled
"""


def parts() -> dict[str, list[str]]:
    """Return the arguments of pytest of each part."""
    tests = ROOT / "test"
    folders = [path.name for path in sorted(tests.iterdir()) if path.is_dir() and path.name not in OTHERS]
    return {
        **{name: [f"test/{name}"] for name in folders},
        "root": [f"test/{f.name}" for f in sorted(tests.glob("test_*.py"))],
    }


def main(arguments: list[str]) -> int:
    """Measure; 1 if a test fails or all parts together cover less than the ratchet."""
    options = {argument for argument in arguments if argument.startswith("--")}
    chosen = [argument for argument in arguments if argument not in options] or list(parts())
    unknown = set(chosen) - parts().keys()
    if unknown or options - {"--update", "--report"}:
        print(f"unknown: {' '.join([*unknown, *options])}; parts are {' '.join(parts())}")
        return 2
    failed = [] if "--report" in options else [name for name in chosen if measure(name)]
    percent = report()
    missing = [name for name in parts() if not list(DATA.glob(f"{name}.*"))]
    if missing:
        print(f"line coverage {percent:.1f} % without the parts {' '.join(missing)}; not compared with the ratchet")
        return int(bool(failed))
    print(f"line coverage {percent:.1f} %, ratchet {ratchet():.1f} %")
    if "--update" in options:
        RATCHET.write_text(f"{max(percent, ratchet()):.1f}\n", encoding="utf-8")
    if failed:
        print(f"tests failed in: {' '.join(failed)}")
    return int(bool(failed) or percent < ratchet() - TOLERANCE)


def configuration(name: str) -> Path:
    """Write the configuration of coverage.py for one part; returns its path."""
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / f"rc-{name}"
    path.write_text(CONFIGURATION.format(data=DATA / name, root=ROOT), encoding="utf-8")
    return path


def measure(name: str) -> bool:
    """Run one part; returns whether a test failed."""
    for old in DATA.glob(f"{name}.*"):
        old.unlink()
    path = configuration(name)
    environment = {**os.environ, "COVERAGE_PROCESS_START": str(path)}
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={path}", "-m", "pytest", "-q", *PARALLEL]
    command += parts()[name]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0


def report() -> float:
    """Combine what all parts measured, print packages and files with the most missing lines; returns percent."""
    path = configuration("all")
    coverage = [sys.executable, "-m", "coverage"]
    measured = [str(file) for name in parts() for file in DATA.glob(f"{name}.*")]
    combined = DATA / "all"
    combined.unlink(missing_ok=True)
    command = [*coverage, "combine", "-q", "--keep", f"--rcfile={path}", f"--data-file={combined}", *measured]
    subprocess.run(command, cwd=ROOT, check=True)
    result = DATA / "report.json"
    command = [*coverage, "json", "-q", f"--rcfile={path}", f"--data-file={combined}", "-o", str(result)]
    subprocess.run(command, cwd=ROOT, check=True)
    content = json.loads(result.read_text(encoding="utf-8"))
    packages: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for file, entry in content["files"].items():
        inner = Path(file).parts[1:]
        lines = packages[inner[0] if len(inner) > 1 else "modules"]
        lines[0] += entry["summary"]["covered_lines"]
        lines[1] += entry["summary"]["num_statements"]
    for name, (covered, statements) in sorted(packages.items()):
        print(f"{100 * covered / max(statements, 1):5.1f} %  of {statements:5d} lines  {name}")
    for file, entry in sorted(content["files"].items(), key=lambda item: -item[1]["summary"]["missing_lines"])[:20]:
        summary = entry["summary"]
        print(f"{summary['percent_covered']:5.1f} %  {summary['missing_lines']:4d} lines missing  {file}")
    return float(content["totals"]["percent_covered"])


def ratchet() -> float:
    """Return the line coverage that must be reached, percent."""
    return float(RATCHET.read_text(encoding="utf-8")) if RATCHET.is_file() else 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
