"""`occdepth bench`: the reference network in float32 and the predictor's optimized path, timed in one run."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from occdepth_ros.commands.options.source import add_source_arguments, open_chosen_source
from occdepth_ros.errors import ModelError
from occdepth_ros.evaluation.reference_agreement import Comparison, compare
from occdepth_ros.evaluation.reference_paths import reference_path
from occdepth_ros.files import write_whole
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.predictor import SHIPPED as EDGE
from occdepth_ros.models.edge.predictor import EdgePredictor
from occdepth_ros.models.edge_bev.loading import SHIPPED as EDGE_BEV
from occdepth_ros.models.edge_bev.predictor import EdgeBevPredictor
from occdepth_ros.models.loading.weights import RANDOM
from occdepth_ros.models.monoocc.config import PRESETS as MONOOCC
from occdepth_ros.models.monoocc.predictor import MonoOccPredictor
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.optimized.network import Precision
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor
from occdepth_ros.models.registry import DEFAULT_MODEL
from occdepth_ros.models.registry import MODELS as MODEL_ENTRIES
from occdepth_ros.models.runtime.device import pick_device
from occdepth_ros.models.runtime.timing import counting_cpu_time
from occdepth_ros.sources import StereoSource

PRECISIONS = (*get_args(Precision), "int8")

SUMMARY = "time a model's reference network and its optimized path"

MODELS = [
    *EDGE,
    *EDGE_BEV,
    *(name for name, config in PRESETS.items() if config.virtual_bf is None),
    *(name for name, config in MONOOCC.items() if config.cameras == 1),
]
"""Models whose inputs are images of a stereo sequence."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("--model", choices=MODELS, default=DEFAULT_MODEL, help="(default: %(default)s)")
    add("--weights", metavar="FILE", help="checkpoint, or random for seeded weights (default: shipped, else random)")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add_source_arguments(parser, measured_pose=False)
    add("--precision", choices=PRECISIONS, help="number formats of the optimized path (default: the predictor's)")
    add(
        "--compile",
        action="store_true",
        help="compile the optimized path, with CUDA graphs; OccDepth on CUDA only",
    )
    add("--cpu-time", action="store_true", help="measure CPU time, for machines under other load; not for CUDA")
    add(
        "--frames",
        type=_positive,
        metavar="N",
        default=1,
        help="frames predicted by both paths (default: %(default)s)",
    )
    add("--json", type=Path, metavar="OUT.json", help="write the numbers to this file as well")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OccDepthError: the weights, the device or the sequence cannot be used.
    """
    weights = arguments.weights or (None if not MODEL_ENTRIES[arguments.model].needs_weights else RANDOM)
    done = compare_on(
        arguments.model,
        weights,
        open_chosen_source(arguments),
        arguments.frames,
        device=arguments.device,
        precision=arguments.precision,
        compile=arguments.compile,
        cpu_time=arguments.cpu_time,
    )
    Console(highlight=False).print(table(done))
    if arguments.json is not None:
        write_whole(arguments.json, (json.dumps([done.record()], indent=1) + "\n").encode())
    return 0


def compare_on(
    model: str,
    weights: Path | str | None,
    source: StereoSource,
    frames: int,
    *,
    device: str = "auto",
    precision: str | None = None,
    compile: bool = False,
    cpu_time: bool = False,
) -> Comparison:
    """Compare on the first frames of a stereo sequence.

    Args:
        model, weights, device: model, weights and device of the predictor.
        source: the stereo sequence.
        frames: number of frames.
        precision: number formats of the optimized path; None = the predictor's default.
        compile: whether the optimized path is compiled.
        cpu_time: whether CPU time is measured instead of wall clock.

    Raises:
        OccDepthError: the sequence cannot be read, or one of the paths cannot run.
    """
    kinds: dict[str, Any] = {
        **dict.fromkeys(MONOOCC, MonoOccPredictor),
        **dict.fromkeys(EDGE, EdgePredictor),
        **dict.fromkeys(EDGE_BEV, EdgeBevPredictor),
    }
    kind: Any = kinds.get(model, OccDepthPredictor)
    if precision == "mixed" and model in kinds:
        raise ModelError(f"{model} has no precision {precision}", where="precision", remedy="Leave it out.")
    if precision == "int8" and kind is not EdgeBevPredictor:
        raise ModelError(f"{model} has no precision {precision}", where="precision", remedy="Leave it out.")
    if compile and kind is not OccDepthPredictor:
        raise ModelError(f"{model} cannot be compiled", where="compile", remedy="Leave it out.")
    options: dict[str, Any] = ({"precision": precision} if precision else {}) | ({"compile": True} if compile else {})
    if cpu_time and pick_device(device).type != "cpu":
        raise ModelError(
            "CPU time does not measure a GPU", where="cpu-time", remedy="Leave it out, or add --device cpu."
        )
    predictor = kind(name=model, weights=weights, device=device, **options)
    chosen = [source[i] for i in range(min(frames, len(source)))]
    grid = VoxelGrid.semantic_kitti(source.grid_frame)
    reference = reference_path(model, predictor, weights, source.rig, grid)
    with counting_cpu_time() if cpu_time else nullcontext():
        return compare(predictor, reference, source.rig, grid, [(frame.left, frame.right) for frame in chosen])


def table(done: Comparison) -> Table:
    """Return a table with one stage per row, milliseconds."""
    title = f"{done.model} on {done.device}, {done.frames} frames, labels equal on {done.label_agreement:.3%}"
    made = Table(title=title, title_justify="left")
    for column in ("stage", "reference ms", "optimized ms", "ratio"):
        made.add_column(column, justify="left" if column == "stage" else "right")
    for name, reference, optimized in [*done.rows(), ("all", done.reference_ms, done.optimized_ms)]:
        made.add_row(name, f"{reference:.1f}", f"{optimized:.1f}", f"{reference / optimized:.2f}")
    if done.reference_cpu_ms is not None and done.optimized_cpu_ms is not None:
        reference, optimized = done.reference_cpu_ms, done.optimized_cpu_ms
        made.add_row("CPU time", f"{reference:.1f}", f"{optimized:.1f}", f"{reference / optimized:.2f}")
    if done.overlapped_ms is not None:
        made.add_row("a pair, overlapping", "", f"{done.overlapped_ms:.1f}", "")
    if done.reference_peak_mb is not None and done.peak_mb is not None:
        reference, optimized = done.reference_peak_mb, done.peak_mb
        made.add_row("peak memory, MB", f"{reference:.0f}", f"{optimized:.0f}", f"{reference / optimized:.2f}")
    return made


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least one frame is needed")
    return value
