"""Networks in plain float32 against their predictors, on real frames where there are some, else on the sample.

Times are milliseconds of wall clock, beside them those that the CPU worked. occdepth-edge has the weights that ship;
plain is its predictor in float32. OccDepth has stand-in weights; plain is each view by itself, every 2-D scale, torch's
default memory layout. MonoOcc plain is grid_sample, two passes among the voxels, and a head that upsamples all
channels. Each comparison is `occdepth bench` in a process of its own: what one leaves of memory slows the next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from benchmarks.__main__ import ROOT
from occdepth_ros.checkpoints.golden.occdepth import golden_network
from occdepth_ros.checkpoints.golden.occdepth_file import read_golden
from occdepth_ros.models.weights import RANDOM

EDGE, EDGE_FRAMES = "occdepth-edge", 5
MONOOCC, MONOOCC_FRAMES = "monoocc-edge", 3
OCCDEPTH, OCCDEPTH_FRAMES = "occdepth-b3", 1
OCCDEPTH_PRECISIONS = ("float32", "mixed", "bfloat16")


def run() -> list[dict[str, Any]]:
    """Per network a row for every stage, then the sum, agreement and memory; of a failed comparison what it said."""
    shared = Path(os.environ.get("OCCDEPTH_SHARED") or ROOT.parent / "shared")
    golden = shared / "golden" / "occdepth_b3_full.npz"
    folder = shared / "data" / "kitti_mini" / "dataset" / "sequences" / "00"
    source = ["--source", str(folder)] if folder.is_dir() else []
    found = measured(["--model", EDGE, "--frames", str(EDGE_FRAMES), *source], EDGE)
    found += measured(["--model", MONOOCC, "--frames", str(MONOOCC_FRAMES), *source], MONOOCC)
    with tempfile.TemporaryDirectory() as scratch:
        weights = RANDOM
        if golden.is_file():
            weights = str(Path(scratch) / "stand_in.safetensors")
            state = golden_network(read_golden(golden)).state_dict()
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, weights)
        for precision in OCCDEPTH_PRECISIONS:
            options = ["--weights", weights, "--frames", str(OCCDEPTH_FRAMES), "--precision", precision, *source]
            found += measured(["--model", OCCDEPTH, *options], OCCDEPTH, precision)
    return found


def measured(options: list[str], model: str, precision: str | None = None) -> list[dict[str, Any]]:
    """Rows of one comparison, made by a process of its own.

    Args:
        options: of `occdepth bench`.
        model: its name, for a row that says what went wrong.
        precision: number formats, named in the last row; None = not named.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "record.json"
        command = [sys.executable, "-m", "occdepth_ros.cli", "bench", *options, "--json", str(out)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode or not out.is_file():
            told = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
            return [{"stage": " ".join(filter(None, (model, precision))), "error": told}]
        (record,) = json.loads(out.read_text(encoding="utf-8"))
    return rows(record, precision)


def rows(record: Mapping[str, Any], precision: str | None = None) -> list[dict[str, Any]]:
    """A comparison's record as rows of a table, the last one names the number formats where it is told."""
    kind = f"{record['model']}, {precision}," if precision else record["model"]
    parts = [(stage, times["reference_ms"], times["optimized_ms"]) for stage, times in record["stages"].items()]
    parts.append((f"{kind} on {record['device']}", record["reference_ms"], record["optimized_ms"]))
    found: list[dict[str, Any]] = [
        {"stage": name, "reference_ms": reference, "optimized_ms": optimized, "speedup": reference / optimized}
        for name, reference, optimized in parts
    ]
    of_all = ("reference_cpu_ms", "optimized_cpu_ms", "cpu_speedup", "label_agreement", "reference_peak_mb", "peak_mb")
    found[-1] |= {key: record[key] for key in of_all}
    return found
