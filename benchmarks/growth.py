"""`python -m benchmarks.growth`: cost of OccDepth by image size, grid size and channels, one change at a time.

The optimized predictor with seeded random weights; CPU milliseconds of all threads by stage, median over the frames
after a warm-up frame.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from benchmarks.__main__ import machine, table
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import PRESETS, OccDepthConfig
from occdepth_ros.models.occdepth.optimized.network import Precision
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor
from occdepth_ros.models.runtime.timing import counting_cpu_time
from occdepth_ros.sources import open_source

B3 = PRESETS["occdepth-b3"]
HEIGHT, WIDTH = B3.image
X, Y, Z = B3.grid.size
VARIANTS: dict[str, OccDepthConfig] = {
    f"occdepth-b3: {HEIGHT}x{WIDTH}, {X}x{Y}x{Z}, {B3.feature} channels": B3,
    "a quarter of the pixels": replace(B3, image=(HEIGHT // 2, WIDTH // 2)),
    "half of the voxels": replace(B3, grid=VoxelGrid(B3.grid.origin, (X // 2, Y, Z), B3.grid.resolution)),
    "twice the channels": replace(B3, feature=2 * B3.feature),
    "occdepth-b7": PRESETS["occdepth-b7"],
}
"""Configurations by changed size."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--source", type=Path, metavar="PATH", help="stereo sequence (default: the bundled sample)")
    parser.add_argument("--frames", type=int, metavar="N", default=2, help="that count (%(default)s)")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32", help="(%(default)s)")
    parsed = parser.parse_args(arguments)
    if parsed.frames < 1:
        parser.error("at least one frame is needed")
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(", ".join(f"{k} {v}" for k, v in machine().items()))
    rows = [
        {"configuration": name, **times(config, parsed.source, parsed.frames, parsed.precision)}
        for name, config in VARIANTS.items()
    ]
    console.print(table("CPU milliseconds of a frame", rows))
    return 0


def times(config: OccDepthConfig, sequence: Path | None, frames: int, precision: Precision) -> dict[str, Any]:
    """Return milliseconds by stage, and their sum as `all`."""
    name = "growth"
    PRESETS[name] = config
    try:
        predictor = OccDepthPredictor(name=name, weights="random", device="cpu", precision=precision)
        source = open_source(sequence)
        # a grid of the network's size, in the frame of the source
        predictor.calibrate(source.rig, replace(config.grid, frame_id=source.grid_frame))
        with counting_cpu_time():
            runs = []
            for index in range(frames + 1):
                frame = source[index % len(source)]
                runs.append(predictor.infer(frame.left, frame.right).timings_ms)
    finally:
        del PRESETS[name]
    stages = {stage: statistics.median(run[stage] for run in runs[1:]) for stage in runs[0]}
    return {**stages, "all": sum(stages.values())}


if __name__ == "__main__":
    sys.exit(main())
