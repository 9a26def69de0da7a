"""Reference networks in float32 against their predictors, on real frames if available, otherwise on the sample.

Times are wall-clock milliseconds and CPU milliseconds. occdepth-edge has the shipped weights, and its reference is the
predictor in float32. OccDepth has stand-in weights; its reference processes the views one by one, every 2-D scale, in
torch's default memory layout. The MonoOcc reference uses grid_sample, two passes over the voxels, and a head that
upsamples all channels. Each comparison runs `occdepth bench` in a separate process, because memory that one comparison
leaves allocated changes the times of the next.
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
from occdepth_ros.models.loading.weights import RANDOM

EDGE, EDGE_FRAMES = "occdepth-edge", 5
MONOOCC, MONOOCC_FRAMES = "monoocc-edge", 3
OCCDEPTH, OCCDEPTH_FRAMES = "occdepth-b3", 1
OCCDEPTH_PRECISIONS = ("float32", "mixed", "bfloat16")


def run() -> list[dict[str, Any]]:
    """Return a row for every stage of each network, then the sum, agreement and memory; for failures the message."""
    shared = Path(os.environ.get("OCCDEPTH_SHARED") or ROOT.parent / "shared")
    golden = shared / "golden" / "occdepth_b3_full.npz"
    folder = shared / "data" / "kitti_mini" / "dataset" / "sequences" / "00"
    source = ["--source", str(folder)] if folder.is_dir() else []
    found = compared(["--model", EDGE, "--frames", str(EDGE_FRAMES), *source], EDGE)
    found += compared(["--model", MONOOCC, "--frames", str(MONOOCC_FRAMES), *source], MONOOCC)
    with tempfile.TemporaryDirectory() as scratch:
        weights = RANDOM
        if golden.is_file():
            weights = str(Path(scratch) / "stand_in.safetensors")
            state = golden_network(read_golden(golden)).state_dict()
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, weights)
        for precision in OCCDEPTH_PRECISIONS:
            options = ["--weights", weights, "--frames", str(OCCDEPTH_FRAMES), "--precision", precision, *source]
            found += compared(["--model", OCCDEPTH, *options], OCCDEPTH, precision)
    return found


def compared(options: list[str], model: str, precision: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of one comparison, which runs in a separate process.

    Args:
        options: options of `occdepth bench`.
        model: name of the model, for the row of a failure.
        precision: number formats, shown in the last row; None = not shown.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "record.json"
        command = [sys.executable, "-m", "occdepth_ros.cli", "bench", *options, "--json", str(out)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode or not out.is_file():
            message = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
            return [{"stage": " ".join(filter(None, (model, precision))), "error": message}]
        (record,) = json.loads(out.read_text(encoding="utf-8"))
    return rows(record, precision)


def rows(record: Mapping[str, Any], precision: str | None = None) -> list[dict[str, Any]]:
    """Convert the record of a comparison to rows of a table; the last row names the number formats."""
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
