#!/usr/bin/env python3
"""Check the Developer Certificate of Origin: every commit after FIRST has a Signed-off-by line of its author."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST = "1459a65"
"""The last commit before sign-offs were required."""


def unsigned(root: Path = ROOT, first: str = FIRST) -> list[str] | None:
    """Return the commits after `first` without a sign-off of their author; None if git or that commit is absent."""
    known = ["git", "merge-base", "--is-ancestor", first, "HEAD"]
    listing = ["git", "log", "--no-merges", "--format=%h%x1f%ae%x1f%s%x1f%(trailers:key=Signed-off-by)%x1e"]
    try:
        subprocess.run(known, cwd=root, check=True, capture_output=True)
        answer = subprocess.run([*listing, f"{first}..HEAD"], cwd=root, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    commits = (entry.strip("\n").split("\x1f") for entry in answer.stdout.split("\x1e") if entry.strip("\n"))
    return [f"{commit} {subject}" for commit, address, subject, signed in commits if f"<{address}>" not in signed]


def main() -> int:
    """Print the commits without a sign-off; 1 if there is one."""
    found = unsigned()
    if found is None:
        print(f"sign-offs not checked: this checkout has no history since {FIRST}")
        return 0
    for commit in found:
        print(f"no Signed-off-by of its author: {commit}")
    if found:
        print(
            "sign with `git commit --amend -s`, or several commits with `git rebase --signoff BASE` (CONTRIBUTING.md)"
        )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
