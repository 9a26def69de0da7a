"""Networks in plain float32 against their predictors, on real frames where there are some, else on the sample.

Times are milliseconds of wall clock, beside them those that the CPU worked. occdepth-edge has the weights that ship;
plain is its predictor in float32. OccDepth has stand-in weights; plain is each view by itself, every 2-D scale, torch's
default memory layout. MonoOcc has seeded random ones; plain is grid_sample, two passes among the voxels, and a head
that upsamples all channels.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from benchmarks.__main__ import ROOT
from occdepth_ros.checkpoints.golden import read_golden
from occdepth_ros.checkpoints.verification import golden_network
from occdepth_ros.commands.bench import compare_on
from occdepth_ros.models.comparison import Comparison
from occdepth_ros.models.weights import RANDOM

EDGE, EDGE_FRAMES = "occdepth-edge", 5
MONOOCC, MONOOCC_FRAMES = "monoocc-edge", 3
OCCDEPTH, OCCDEPTH_FRAMES = "occdepth-b3", 1
OCCDEPTH_PRECISIONS = ("float32", "mixed")


def run() -> list[dict[str, Any]]:
    """Per network a row for every stage, then the sum, agreement and memory."""
    shared = Path(os.environ.get("OCCDEPTH_SHARED") or ROOT.parent / "shared")
    golden = shared / "golden" / "occdepth_b3_full.npz"
    folder = shared / "data" / "kitti_mini" / "dataset" / "sequences" / "00"
    sequence = folder if folder.is_dir() else None
    edge = compare_on(EDGE, None, sequence, EDGE_FRAMES)
    monoocc = compare_on(MONOOCC, RANDOM, sequence, MONOOCC_FRAMES)
    with tempfile.TemporaryDirectory() as scratch:
        weights: Path | str = RANDOM
        if golden.is_file():
            weights = Path(scratch) / "stand_in.safetensors"
            state = golden_network(read_golden(golden)).state_dict()
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, weights)
        found = rows(edge) + rows(monoocc)
        for precision in OCCDEPTH_PRECISIONS:
            done = compare_on(OCCDEPTH, weights, sequence, OCCDEPTH_FRAMES, precision=precision)
            found += rows(done, precision)
        return found


def rows(done: Comparison, precision: str | None = None) -> list[dict[str, Any]]:
    """The comparison as rows of a table, the last one names the number formats where it is told."""
    parts = done.rows()
    kind = f"{done.model}, {precision}," if precision else done.model
    parts.append((f"{kind} on {done.device}", done.plain_ms, done.fast_ms))
    found: list[dict[str, Any]] = [
        {"stage": name, "plain_ms": plain, "fast_ms": fast, "speedup": plain / fast} for name, plain, fast in parts
    ]
    found[-1] |= {
        "plain_cpu_ms": done.plain_cpu_ms,
        "fast_cpu_ms": done.fast_cpu_ms,
        "cpu_speedup": done.cpu_speedup,
        "label_agreement": done.label_agreement,
        "plain_peak_mb": done.plain_peak_mb,
        "peak_mb": done.peak_mb,
    }
    return found
