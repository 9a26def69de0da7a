"""Contents of a recording of rerun."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


def rows_of(path: Path) -> Counter[str]:
    """Number of rows by entity path, without the properties of the recording."""
    from rerun.chunk import RrdReader

    rows: Counter[str] = Counter()
    for chunk in RrdReader(str(path)).stream():
        if not chunk.entity_path.startswith("/__"):
            rows[chunk.entity_path] += chunk.num_rows
    return rows


def timelines_of(path: Path) -> set[str]:
    """Names of all time lines of chunks that are not static, without those of the log calls."""
    from rerun.chunk import RrdReader

    chunks = (chunk for chunk in RrdReader(str(path)).stream() if not chunk.is_static)
    return {name for chunk in chunks for name in chunk.timeline_names} - {"log_time", "log_tick"}
