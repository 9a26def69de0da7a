"""Sampling of the load of the machine, the node and the GPU while the demo runs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from threading import Event, Thread

from occdepth_ros.nodes.load import CpuLoad, OverallCpuLoad

PERIOD_S = 0.5
NVIDIA_SMI = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")


class LoadSampler:
    """Samples the load in a separate thread; a context manager.

    Args:
        node_pid: process of the node.
    """

    def __init__(self, node_pid: int) -> None:
        self.samples: dict[str, list[float]] = {}
        """Samples, percent, by the name in `ResourceMetrics` of ros2_benchmark without "MEAN_" and "MAX_"."""
        overall, node = OverallCpuLoad(), CpuLoad(node_pid)
        self._sources: dict[str, Callable[[], float]] = {
            "OVERALL_CPU_UTILIZATION": overall.percent,
            "NODE_CPU_UTILIZATION": node.percent,
        }
        if shutil.which("nvidia-smi"):
            self._sources["DEVICE_UTILIZATION"] = gpu_percent
        self._ended = Event()
        self._thread = Thread(target=self._sample, name="load", daemon=True)

    def __enter__(self) -> LoadSampler:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(PERIOD_S):
            for name, read in self._sources.items():
                self.samples.setdefault(name, []).append(read())


def gpu_percent() -> float:
    """Return the load of the busiest NVIDIA GPU by nvidia-smi, percent; NaN if nvidia-smi does not answer."""
    try:
        done = subprocess.run(["nvidia-smi", *NVIDIA_SMI], capture_output=True, text=True, timeout=5, check=True)
        return max(float(line) for line in done.stdout.split("\n") if line.strip())
    except (OSError, subprocess.SubprocessError, ValueError):
        return float("nan")
