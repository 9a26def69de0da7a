"""Number of processor cores of this process. Does not import ROS."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def core_count(cpus: Iterable[int] | None = None, folder: Path = CPUS) -> int:
    """Return the number of cores to which processors belong; the hyperthreads of one core count once.

    A virtual machine may hide which processors share a core; they then count as cores.

    Args:
        cpus: numbers of the processors; None = those on which this process may run.
        folder: folder of the processors in sysfs.
    """
    return len({_siblings(cpu, folder) for cpu in (os.sched_getaffinity(0) if cpus is None else cpus)})


def _siblings(cpu: int, folder: Path) -> str:
    """Return the processors of the same core, as Linux writes them; this processor only if that is unknown."""
    try:
        return (folder / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)
