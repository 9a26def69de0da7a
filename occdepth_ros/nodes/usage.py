"""The `--help` option of the nodes."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from occdepth_ros.nodes.parameters import ParameterSet


def help_requested(arguments: Sequence[str] | None) -> bool:
    """Return whether -h or --help is before --ros-args; None = arguments of the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    own = given[: given.index("--ros-args")] if "--ros-args" in given else given
    return "-h" in own or "--help" in own


def usage(node: str, summary: str, parameters: type[ParameterSet]) -> str:
    """Return the help text: usage, summary, and parameters with default values."""
    lines = [
        f"usage: ros2 run occdepth_ros {node} --ros-args [-p PARAMETER:=VALUE ...] [-r FROM:=TO ...]",
        "",
        *textwrap.wrap(summary, 100),
        "",
        "parameters (default):",
    ]
    for name, entry in parameters.declared().items():
        default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
        lines.append(f"  {name} ({str(default).lower() if isinstance(default, bool) else default!r})")
        rule = parameters.rule(name)
        choices = f" One of {', '.join(rule.choices)}." if rule.choices else ""
        lines += textwrap.wrap(
            rule.text.replace("`", "") + choices, 100, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return "\n".join(lines)
