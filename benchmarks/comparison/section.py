"""The comparison's table in a Markdown file, between two markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from occdepth_ros.errors import OutputError
from occdepth_ros.files import write_whole

SHOWN_APART = "Shipped weights on the same held-out scenes; they were trained longer and on other data:"


def markdown(
    rows: Sequence[Mapping[str, Any]], shipped: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> str:
    """Return the table with machine and date, and a separate table of the shipped weights."""
    budget, machine = summary["budget"], summary["machine"]
    lines = [
        f"{budget['steps']} steps of one scene each on {budget['train']} synthetic scenes, scored on {budget['test']} "
        f"held-out ones; percent; {machine['cores']} cores of {machine['cpu']}, {summary['date'][:10]}.",
        "",
        *_table(rows),
    ]
    if shipped:
        lines += ["", SHOWN_APART, "", *_table(shipped)]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    # columns without values are omitted
    columns = [column for column in rows[0] if any(row[column] is not None for row in rows)]
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    return lines + [f"| {' | '.join(_cell(row[column]) for column in columns)} |" for row in rows]


def write_section(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    shipped: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    *,
    name: str = "comparison",
) -> None:
    """Replace the text between the markers of a table in a file.

    Raises:
        OutputError: the file cannot be read or written, or has no markers.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot be read ({error})", where=str(path), remedy="Give a Markdown file.") from error
    first, last = markers(name)
    head, begin, rest = text.partition(first)
    _, end, tail = rest.partition(last)
    if not (begin and end):
        raise OutputError("the markers are missing", where=str(path), remedy=f"Add the lines {first} and {last}.")
    write_whole(path, f"{head}{first}\n{markdown(rows, shipped, summary)}{last}{tail}".encode())


def markers(name: str) -> tuple[str, str]:
    """Return the lines before and after a table."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
