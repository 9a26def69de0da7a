"""Ratios to other implementations that a benchmark may not fall below: benchmarks/ratios.json.

A ratio compares two implementations in one run on one machine, so that it depends less on the machine than a time. It
still depends on the kind of processor: fusion takes a 7.6th of the time of octomap on an Intel Xeon with AMX and a 6th
on an AMD EPYC of equal speed. Entries are therefore kept for each kind of processor, and each is the ratio of a quiet
run. A run fails if a ratio is more than `TOLERANCE` below the entry of its processor; on a processor without entries
ratios are printed only. `--update` raises the entries of the processor to the measured values, or records them. Both
need a quiet machine, because other processes slow short steps down more than long ones.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("ratios.json")
TOLERANCE = 0.2
"""Share by which a ratio may be lower than its entry, for the scatter of short measurements."""

VENDORS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD"}
VECTORS = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}
"""Instruction sets by their names in Linux, the widest first."""

Ratios = dict[str, dict[str, float]]


def processor(cpuinfo: str) -> str:
    """Return the kind of processor of /proc/cpuinfo: maker and widest vector instructions, such as "AMD, AVX-512".

    Other processors than those of Intel and AMD are named by their architecture.
    """
    first = cpuinfo.strip().split("\n\n")[0].splitlines()
    values = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first)}
    vendor = VENDORS.get(values.get("vendor_id", ""))
    if vendor is None:
        return platform.machine()
    flags = values.get("flags", "").split()
    return ", ".join([vendor, *[name for flag, name in VECTORS.items() if flag in flags][:1]])


def this_processor() -> str:
    """Return the kind of the processor of this machine."""
    return processor(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))


def is_quiet() -> bool:
    """Return whether other processes used less than half of the cores in the last minute."""
    return os.getloadavg()[0] < len(os.sched_getaffinity(0)) / 2


def stored() -> dict[str, Ratios]:
    """Return the entries: kind of processor, then benchmark, then name of the row."""
    entries: dict[str, Ratios] = json.loads(FILE.read_text(encoding="utf-8"))
    return entries


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
