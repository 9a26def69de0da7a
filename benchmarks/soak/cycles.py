"""Lifecycle cycles: configure, activate, one pair, deactivate, clean up, without growth of memory, files or threads."""

from __future__ import annotations

import ctypes
import gc
import threading
from pathlib import Path

from benchmarks.soak.local_node import local_node
from benchmarks.soak.result import Result, resident_bytes

SHORT, FULL = 50, 1000
PART = "lifecycle"
MAX_GROWTH = 20e3
"""Growth of resident memory per cycle that counts as none, bytes; the allocator alone moves by more in short runs."""
MAX_OBJECTS = 100
"""Growth of the number of Python objects that counts as none; a leak of one object a cycle exceeds it in a full run."""


def run(full: bool) -> list[Result]:
    """Run the cycles."""
    count = FULL if full else SHORT
    memory, objects, files, threads = [], [], [], []
    predicted = 0
    libc = ctypes.CDLL("libc.so.6")
    with local_node(map_mode="always") as local:
        for _ in range(count):
            if local.up():
                local.provide()
                predicted += local.process(local.pair())
            local.down()
            gc.collect()
            # return what is free: fragmentation moves by megabytes and is no growth
            libc.malloc_trim(0)
            memory.append(resident_bytes())
            objects.append(len(gc.get_objects()))
            files.append(len(list(Path("/proc/self/fd").iterdir())))
            threads.append(threading.active_count())
    # the first fifth fills caches of the interpreter, the allocator and DDS
    start = count // 5
    growth = (memory[-1] - memory[start]) / (count - 1 - start)
    return [
        Result(PART, f"cycles with a predicted pair, of {count}", str(predicted), str(count), predicted == count),
        Result(
            PART,
            "growth of resident memory",
            f"{memory[start] / 1e6:.0f} to {memory[-1] / 1e6:.0f} MB, {growth / 1e3:+.1f} kB a cycle",
            f"{MAX_GROWTH / 1e3:.0f} kB",
            growth < MAX_GROWTH if full else None if growth >= MAX_GROWTH else True,
        ),
        Result(
            PART,
            "Python objects, after the first fifth and at the end",
            f"{objects[start]} and {objects[-1]}",
            f"+{MAX_OBJECTS}",
            objects[-1] - objects[start] <= MAX_OBJECTS,
        ),
        Result(
            PART,
            "open files and threads, after the first fifth and at the end",
            f"{files[start]}/{files[-1]} and {threads[start]}/{threads[-1]}",
            "equal",
            files[start] == files[-1] and threads[start] == threads[-1],
        ),
    ]
