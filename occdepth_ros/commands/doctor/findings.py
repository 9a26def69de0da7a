"""One finding of `occdepth doctor`, and the printed report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum


class State(str, Enum):
    """State of a finding; MISSING and WRONG make the exit code 1."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        topic: what was checked.
        state: result of the check.
        text: description of the result.
        remedy: command or advice; empty if nothing needs to be done.
    """

    topic: str
    state: State
    text: str
    remedy: str = ""


def is_good(findings: Sequence[Finding]) -> bool:
    """Return whether nothing is missing or wrong."""
    return not any(finding.state in (State.MISSING, State.WRONG) for finding in findings)


def print_findings(findings: Sequence[Finding], closing: tuple[str, str], *, as_json: bool) -> None:
    """Print the findings as lines or as JSON.

    Args:
        findings: findings in the order of the report.
        closing: last line if `is_good`, and otherwise.
        as_json: print JSON.
    """
    good = is_good(findings)
    if as_json:
        print(json.dumps({"ok": good, "findings": [asdict(finding) for finding in findings]}, indent=1))
        return
    for finding in findings:
        print(f"{finding.state.value:<8} {finding.topic:<20} {finding.text}")
        if finding.remedy:
            print(f"{'':<29} -> {finding.remedy}")
    print(closing[not good])
