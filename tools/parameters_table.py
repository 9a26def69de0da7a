#!/usr/bin/env python3
"""Print the declared parameters of the node as the table of docs/parameters.md or as the commented YAML file.

tools/parameters_table.py             print the Markdown table
tools/parameters_table.py --yaml      print config/stereo_occ.yaml
tools/parameters_table.py --write     write both files
"""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from occdepth_ros.nodes.parameters import Rule  # noqa: E402
from occdepth_ros.nodes.stereo_occ.parameters import PARAMETERS, rule_of  # noqa: E402

BEGIN, END = "<!-- parameters:begin -->", "<!-- parameters:end -->"
KINDS = {bool: "bool", int: "int", float: "float", str: "string"}


def table() -> str:
    """Return the Markdown table with one heading row per group."""
    lines = ["| Parameter | Type | Default | Meaning |", "|---|---|---|---|"]
    for group, names in _groups():
        lines.append(f"| **{group}** | | | |")
        for name in names:
            entry, rule = PARAMETERS[name], rule_of(name)
            live = " Live." if rule.live else ""
            text = f"{rule.text}{_limits(rule, markdown=True)}{live}".replace("|", "\\|")
            lines.append(f"| `{name}` | {_kind(entry.default)} | `{_value(entry.default)}` | {text} |")
    return "\n".join(lines) + "\n"


def yaml() -> str:
    """Return a parameter file with the default and the description of every parameter."""
    lines = [
        "# Parameters of the node stereo_occ with their defaults; written by tools/parameters_table.py --write.",
        "# Those marked live may change while the node runs, the others take effect when the node is configured.",
        "/**:",
        "  ros__parameters:",
    ]
    for group, names in _groups():
        lines += ["", f"    # ---- {group}"]
        for name in names:
            entry, rule = PARAMETERS[name], rule_of(name)
            text = f"{rule.text}{_limits(rule, markdown=False)}{' Live.' if rule.live else ''}"
            lines += [f"    # {line}" for line in textwrap.wrap(text.replace("`", ""), 110)]
            lines.append(f"    {name}: {_value(entry.default)}")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """Replace the table between the markers of a page; a page without markers is returned unchanged."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{table()}{end}{after}" if begin and end else page


def _groups() -> Iterator[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for name in PARAMETERS:
        groups.setdefault(rule_of(name).group, []).append(name)
    yield from groups.items()


def _kind(default: object) -> str:
    return f"{KINDS[type(default[0])]}[]" if isinstance(default, tuple) else KINDS[type(default)]


def _value(default: object) -> str:
    if isinstance(default, tuple):
        return "[" + ", ".join(_value(entry) for entry in default) + "]"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str):
        return f'"{default}"'
    return str(default)


def _limits(rule: Rule, *, markdown: bool) -> str:
    mark = "`" if markdown else ""
    if rule.choices:
        return f" One of {', '.join(f'{mark}{choice}{mark}' for choice in rule.choices)}."
    if math.isfinite(rule.low) and math.isfinite(rule.high):
        return f" {rule.low:.10g} to {rule.high:.10g}."
    return ""


def main() -> int:
    """Print the table or the YAML file; with --write, write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yaml", action="store_true", help="print the parameter file instead of the table")
    parser.add_argument("--write", action="store_true", help="write both files")
    arguments = parser.parse_args()
    if not arguments.write:
        print(yaml() if arguments.yaml else table(), end="")
        return 0
    (ROOT / "config" / "stereo_occ.yaml").write_text(yaml(), encoding="utf-8")
    page = ROOT / "docs" / "parameters.md"
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
