"""`occdepth export`: a network with one calibration as an ONNX file, checked on frames, and as a TensorRT engine."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from occdepth_ros.commands.options.grid import add_grid_arguments, chosen_grid
from occdepth_ros.commands.options.source import add_source_arguments, open_chosen_source
from occdepth_ros.errors import OutputError
from occdepth_ros.models.registry import DEFAULT_MODEL, EXPORTED_SUFFIX

if TYPE_CHECKING:
    from occdepth_ros.exporting.agreement import Agreement

SUMMARY = "export a network with one calibration as an ONNX file, and check it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("out", type=Path, metavar="OUT.onnx", help="the file to write")
    add("--model", metavar="NAME", default=DEFAULT_MODEL, help="(default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint, or random (default: the shipped weights)")
    add_source_arguments(parser, measured_pose=False)
    add(
        "--frames",
        type=int,
        metavar="N",
        default=1,
        help="frames to check on, 0 = none (default: %(default)s)",
    )
    add("--device", metavar="D", default="cpu", help="device of the check: cpu, cuda, cuda:N (default: %(default)s)")
    add("--tensorrt", action="store_true", help="also build a TensorRT engine for this machine's GPU: OUT.engine")
    add("--json", action="store_true", help="print JSON instead of lines")
    add_grid_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb; returns 1, and leaves no file, if the exported model does not agree with the network.

    Raises:
        OccDepthError: the model, the sequence or a library cannot be used, or the file cannot be written.
    """
    # imported late, so that errors in the arguments are reported immediately
    from occdepth_ros.exporting import agreement, tensorrt, writing
    from occdepth_ros.exporting.loading import load_exported

    out: Path = arguments.out
    if out.suffix != EXPORTED_SUFFIX:
        raise OutputError(
            f"the name does not end in {EXPORTED_SUFFIX}",
            where=str(out),
            remedy="Exported models have this suffix.",
        )
    if arguments.tensorrt:
        tensorrt.load()
    source = open_chosen_source(arguments)
    grid = chosen_grid(arguments, source.grid_frame)
    # under a temporary name in the same folder until the check has passed
    unchecked = out.with_name(f".{out.stem}.{os.getpid()}.unchecked{out.suffix}")
    try:
        about = writing.export(unchecked, arguments.model, source.rig, grid, arguments.weights)
        exported = load_exported(weights=unchecked, device=arguments.device)
        report: dict[str, object] = {"file": str(out), "model": about.model, "bytes": unchecked.stat().st_size}
        if not arguments.json:
            print(f"{about.model}, {unchecked.stat().st_size / 1e6:.0f} MB, grid {grid.size} from {grid.origin}")
            for name, (kind, shape) in [*about.inputs.items(), *about.outputs.items()]:
                print(f"  {'in ' if name in about.inputs else 'out'} {name:<12} {kind:<8} {list(shape)}")
        passed = True
        if arguments.frames > 0:
            pairs = [(f.left, f.right) for f in (source[i] for i in range(min(arguments.frames, len(source))))]
            found = agreement.compare(exported, arguments.weights, pairs, arguments.device)
            passed = found.holds
            report["check"] = asdict(found) | {"frames": len(pairs), "passed": passed}
            if not arguments.json:
                print(line(found, len(pairs)))
        del exported
        if passed:
            unchecked.replace(out)
            if arguments.tensorrt:
                report["engine"] = str(tensorrt.build(out, out.with_suffix(tensorrt.SUFFIX)))
    finally:
        unchecked.unlink(missing_ok=True)
    if arguments.json:
        print(json.dumps(report | {"passed": passed}))
    else:
        print(f"wrote {out}" if passed else f"nothing written: {agreement.REQUIRED:.1%} of the labels must be equal")
        if "engine" in report:
            print(f"wrote {report['engine']}")
    return 0 if passed else 1


def line(found: Agreement, frames: int) -> str:
    """Format the comparison as one line of text."""
    return (
        f"checked on {frames} frames with {found.provider}: labels equal on {found.labels:.4%} ({found.kinds} kinds), "
        f"confidence within 1/255 on {found.confidence:.4%}; PyTorch {found.network_ms:.0f} ms, "
        f"ONNX Runtime {found.exported_ms:.0f} ms"
    )
