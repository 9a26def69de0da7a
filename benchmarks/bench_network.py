"""Plain float32 network against the predictor, one real frame with stand-in weights where there is one, else a sample.

Times are milliseconds of wall clock. Plain: each view by itself, every 2-D scale, torch's default memory layout.
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
from occdepth_ros.models.comparison import STAGES, Comparison
from occdepth_ros.models.predictor import OccDepthPredictor
from occdepth_ros.models.weights import RANDOM

MODEL = "occdepth-b3"
FRAMES = 1


def run() -> list[dict[str, Any]]:
    """One row per stage, then the sum, agreement and memory."""
    shared = Path(os.environ.get("OCCDEPTH_SHARED") or ROOT.parent / "shared")
    golden = shared / "golden" / "occdepth_b3_full.npz"
    sequence = shared / "data" / "kitti_mini" / "dataset" / "sequences" / "00"
    with tempfile.TemporaryDirectory() as folder:
        weights: Path | str = RANDOM
        if golden.is_file():
            weights = Path(folder) / "stand_in.safetensors"
            state = golden_network(read_golden(golden)).state_dict()
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, weights)
        predictor = OccDepthPredictor(name=MODEL, weights=weights)
        return rows(compare_on(predictor, weights, sequence if sequence.is_dir() else None, FRAMES))


def rows(done: Comparison) -> list[dict[str, Any]]:
    """The comparison as rows of a table."""
    parts = [(stage, done.plain_stages[stage], done.fast_stages[stage]) for stage in STAGES]
    parts.append((f"{done.model} on {done.device}", done.plain_ms, done.fast_ms))
    found: list[dict[str, Any]] = [
        {"stage": name, "plain_ms": plain, "fast_ms": fast, "speedup": plain / fast} for name, plain, fast in parts
    ]
    found[-1] |= {
        "label_agreement": done.label_agreement,
        "plain_peak_mb": done.plain_peak_mb,
        "peak_mb": done.peak_mb,
    }
    return found
