"""Ratios to other implementations that a benchmark may not fall below: benchmarks/ratios.json.

A ratio compares two implementations in one run on one machine, so that it depends less on the machine than a time. Each
entry is the ratio of a quiet run. A run fails if a ratio is more than `TOLERANCE` below its entry; `--update` raises
entries to the measured values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("ratios.json")
TOLERANCE = 0.2
"""Share by which a ratio may be lower than its entry, for the scatter of short measurements."""

Ratios = dict[str, dict[str, float]]


def stored() -> Ratios:
    """Return the entries: benchmark, then name of the row."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def measured(results: Mapping[str, Any]) -> Ratios:
    """Return the ratios in the rows of benchmarks, as `benchmarks.__main__` collects them."""
    found = {
        name: {row["name"]: float(row["ratio"]) for row in result.get("rows", ()) if "ratio" in row}
        for name, result in results.items()
    }
    return {name: rows for name, rows in found.items() if rows}


def shortfalls(now: Ratios, before: Ratios) -> list[str]:
    """Return one sentence for each measured ratio that is more than `TOLERANCE` below its entry."""
    texts = []
    for name in now.keys() & before.keys():
        for row, least in before[name].items():
            ratio = now[name].get(row)
            # without the other implementation, such as pyoctomap, a row has no ratio
            if ratio is not None and ratio < (1 - TOLERANCE) * least:
                texts.append(
                    f"{name}: {row}: the ratio is {ratio:.1f}, its entry {least:.1f} (-{TOLERANCE:.0%} allowed)"
                )
    return sorted(texts)


def raised(now: Ratios, before: Ratios) -> Ratios:
    """Return the entries with every higher measured ratio in place of the former one."""
    return {
        name: {
            row: round(max(now.get(name, {}).get(row, 0.0), before.get(name, {}).get(row, 0.0)), 2)
            for row in dict.fromkeys((*before.get(name, {}), *now.get(name, {})))
        }
        for name in dict.fromkeys((*before, *now))
    }
