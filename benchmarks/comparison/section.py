"""The comparison's table in a Markdown file, between two markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from occdepth_ros.errors import OutputError
from occdepth_ros.files import write_whole

BEGIN, END = "<!-- comparison:begin -->", "<!-- comparison:end -->"


def markdown(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """The table and what it was measured on."""
    budget, machine = summary["budget"], summary["machine"]
    columns = list(rows[0])
    lines = [
        f"{budget['steps']} steps of one scene each on {budget['train']} street scenes, scored on {budget['test']} "
        f"held-out ones; percent; {machine['cores']} cores of {machine['cpu']}, {summary['date'][:10]}.",
        "",
        f"| {' | '.join(columns)} |",
        f"|---|{'---:|' * (len(columns) - 1)}",
    ]
    lines += [f"| {' | '.join(_cell(row[column]) for column in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def write_section(path: Path, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """Replace what stands between the markers of a file.

    Raises:
        OutputError: the file cannot be read or written, or has no markers.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot be read ({error})", where=str(path), remedy="Give a Markdown file.") from error
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise OutputError("the markers are missing", where=str(path), remedy=f"Add the lines {BEGIN} and {END}.")
    write_whole(path, f"{head}{BEGIN}\n{markdown(rows, summary)}{END}{tail}".encode())


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
