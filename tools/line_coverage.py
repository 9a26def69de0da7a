#!/usr/bin/env python3
"""Line coverage of the package by its tests, processes included, against the ratchet of tools/coverage_ratchet.txt.

tools/line_coverage.py                  measure the parts that are not measured yet, compare with the ratchet
tools/line_coverage.py nodes stereo     measure these parts, again if they are measured already
tools/line_coverage.py --report         only report
tools/line_coverage.py --update         also raise the ratchet to the measured value

A part is a folder of test/, or `root` for the files beside them. What a part measured is kept in .venv/coverage with a
digest of the package's sources, unless a test failed: an interrupted run continues with the next part, and lines of two
states of the sources are never combined. Loops that numba compiles run as machine code, which coverage.py cannot see;
they are not counted. coverage.py is in the environment of `make env`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "occdepth_ros"
RATCHET = ROOT / "tools" / "coverage_ratchet.txt"
DATA = ROOT / ".venv" / "coverage"
OTHERS = {"helpers", "tools", "__pycache__"}
"""Folders of test/ that do not test the package."""
PARALLEL = ("-n", "logical", "--maxprocesses", "4", "--dist", "loadfile")
"""Options of pytest, as in `make test`."""
LINTERS = "test/test_package.py::test_linters_find_nothing"
"""A long test that runs no line of the package."""
EXAMPLES = "5"
"""Examples of a property test; `make test` has 100. Three cover 96.9 % of the lines."""
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
omit = */rosidl_generator_py/*
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
        "root": [*(f"test/{f.name}" for f in sorted(tests.glob("test_*.py"))), f"--deselect={LINTERS}"],
    }


def main(arguments: list[str]) -> int:
    """Measure; 1 if a test fails or all parts together cover less than the ratchet."""
    options = {argument for argument in arguments if argument.startswith("--")}
    named = [argument for argument in arguments if argument not in options]
    unknown = set(named) - parts().keys()
    if unknown or options - {"--update", "--report"}:
        print(f"unknown: {' '.join([*unknown, *options])}; parts are {' '.join(parts())}")
        return 2
    state = digest()
    chosen = [] if "--report" in options else named or [name for name in parts() if not is_measured(name, state)]
    failed = [name for name in chosen if measure(name, state)]
    present = [name for name in parts() if is_measured(name, state)]
    if not present:
        print("no part is measured for the present sources")
        return 1
    percent = report(present)
    missing = [name for name in parts() if name not in present]
    if missing:
        print(f"line coverage {percent:.1f} % without the parts {' '.join(missing)}; not compared with the ratchet")
    else:
        print(f"line coverage {percent:.1f} %, ratchet {ratchet():.1f} %")
        if "--update" in options:
            RATCHET.write_text(f"{max(percent, ratchet()):.1f}\n", encoding="utf-8")
    if failed:
        print(f"tests failed in: {' '.join(failed)}")
    return int(bool(failed) or (not missing and percent < ratchet() - TOLERANCE))


def digest() -> str:
    """Return a digest of the sources of the package, whose line numbers the data refer to."""
    state = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        state.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


def is_measured(name: str, state: str) -> bool:
    """Return whether a part was measured completely with these sources."""
    stamp = DATA / f"{name}.state"
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == state


def configuration(name: str) -> Path:
    """Write the configuration of coverage.py for one part; returns its path."""
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / f"rc-{name}"
    path.write_text(CONFIGURATION.format(data=DATA / f"{name}.data", root=ROOT), encoding="utf-8")
    return path


def measure(name: str, state: str) -> bool:
    """Run one part, and failed tests a second time by themselves; returns whether a test failed again."""
    for old in DATA.glob(f"{name}.*"):
        old.unlink()
    path = configuration(name)
    environment = {**os.environ, "COVERAGE_PROCESS_START": str(path), "OCCDEPTH_EXAMPLES": EXAMPLES}
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={path}", "-m", "pytest", "-q"]
    command += parts()[name]
    failed = subprocess.run([*command, *PARALLEL], cwd=ROOT, env=environment, check=False).returncode != 0
    if failed:
        # nodes that are traced in two processes can exceed the time limits of a test
        command += ["--last-failed", "--last-failed-no-failures=none"]
        failed = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0
    if not failed:
        (DATA / f"{name}.state").write_text(state, encoding="utf-8")
    return failed


def report(names: list[str]) -> float:
    """Combine what these parts measured, print packages and files with the most missing lines; returns percent."""
    path = configuration("all")
    coverage = [sys.executable, "-m", "coverage"]
    measured = [str(file) for name in names for file in DATA.glob(f"{name}.data.*")]
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
