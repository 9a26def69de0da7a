"""`occdepth weights`: verify networks with golden outputs, convert checkpoints, average and pack weights."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from occdepth_ros.checkpoints.averaging import average
from occdepth_ros.checkpoints.conversion import convert as convert_checkpoint
from occdepth_ros.checkpoints.golden.part_checks import PartCheck
from occdepth_ros.checkpoints.golden.verify import verify_file
from occdepth_ros.checkpoints.other_networks import NETWORKS_BY_NAME
from occdepth_ros.checkpoints.packing import LICENCES
from occdepth_ros.checkpoints.packing import pack as pack_weights
from occdepth_ros.models.monoocc.config import PRESETS as MONOOCC
from occdepth_ros.models.occdepth.config import PRESETS

SUMMARY = "verify networks with golden outputs, convert checkpoints, average and pack weights"

CONVERTIBLE = [*PRESETS, *NETWORKS_BY_NAME, *MONOOCC]
"""Networks whose checkpoints are converted."""

_JSON = {"value": "measured"}
"""Keys of the JSON output that differ from the attributes of `PartCheck`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verify = actions.add_parser(
        "verify",
        help="compare a network with golden outputs, part by part",
        description="Fill a network with a golden file's stand-in weights, run it in float32 and compare every part "
        "with the stored numbers. Exit code 0: all parts agree; 1: some do not.",
    )
    verify.add_argument("file", type=Path, metavar="FILE.npz", help="the golden file")
    verify.add_argument(
        "--dataset",
        type=Path,
        metavar="ROOT",
        help="folder of the KITTI odometry sequences, for files made from a real frame "
        "(default: ../data/kitti_mini, relative to the file)",
    )
    verify.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: cpu)")
    verify.add_argument("--json", action="store_true", help="print JSON instead of a table")
    verify.set_defaults(action=_verify)
    convert = actions.add_parser(
        "convert",
        help="convert a training checkpoint to safetensors",
        description="Read a checkpoint of torch.save (PyTorch-Lightning, legacy files included) without executing "
        "anything in it, find the network that its tensors fit, and write them as safetensors.",
    )
    convert.add_argument("source", type=Path, metavar="OFFICIAL.ckpt", help="the checkpoint")
    convert.add_argument("target", type=Path, metavar="OUT.safetensors", help="the file to write")
    convert.add_argument("--model", choices=sorted(CONVERTIBLE), help="fail unless the checkpoint is this model's")
    convert.set_defaults(action=_convert)
    pack = actions.add_parser(
        "pack",
        help="write trained weights in half precision, as they ship",
        description="Read weights that `occdepth train` wrote, check that they fit the model, and write them in "
        "half precision with model, licence and recipe in the header. Equal weights give equal bytes.",
    )
    pack.add_argument("source", type=Path, metavar="IN", help="safetensors, or a state dict of torch.save")
    pack.add_argument("target", type=Path, metavar="OUT.safetensors", help="the file to write")
    pack.add_argument(
        "--model", choices=sorted(LICENCES), help="name to ship under (default: the name in the header of IN)"
    )
    pack.add_argument("--recipe", metavar="NAME", help="recipe for the header (default: the one named like the model)")
    pack.set_defaults(action=_pack)
    mean = actions.add_parser(
        "mean",
        help="average weights of one network",
        description="Write the mean of weights files of one network, such as those before and after fine-tuning.",
    )
    mean.add_argument("sources", type=Path, nargs="+", metavar="FILE", help="weights of one network, two or more")
    mean.add_argument("--out", type=Path, required=True, metavar="OUT.safetensors", help="the file to write")
    mean.add_argument("--shares", type=float, nargs="+", metavar="S", help="weight of each file (default: equal)")
    mean.set_defaults(action=_mean)


def run(arguments: argparse.Namespace) -> int:
    """Run the action; verify returns 0 if all parts agree, 1 if not."""
    action: Callable[[argparse.Namespace], int] = arguments.action
    return action(arguments)


def _convert(arguments: argparse.Namespace) -> int:
    done = convert_checkpoint(arguments.source, arguments.target, model=arguments.model)
    print(f"{arguments.source}: {' or '.join(done.models)}, {done.tensors} tensors, {done.parameters} values")
    for name, value in sorted(done.checkpoint.facts.items()):
        print(f"  {name}: {value}")
    for note in done.notes:
        print(f"  {note}")
    if done.checkpoint.foreign:
        names = sorted(done.checkpoint.foreign)
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        print(f"  left out unexecuted: {len(names)} kinds of Python objects ({shown})")
    print(f"wrote {done.target}")
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    done = pack_weights(arguments.source, arguments.target, model=arguments.model, recipe=arguments.recipe)
    print(f"{arguments.source}: {done.tensors} tensors, {done.parameters} values")
    for name, value in done.about.items():
        print(f"  {name}: {value}")
    print(f"  largest rounding error: {done.worst:.1e} of its tensor's largest weight")
    print(f"wrote {done.target}: {done.size} bytes, sha256 {done.sha256}")
    return 0


def _mean(arguments: argparse.Namespace) -> int:
    header = average(arguments.sources, arguments.out, arguments.shares)
    print(f"wrote {arguments.out}: mean of {len(arguments.sources)} files, model {header.get('model', 'unnamed')}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    found = verify_file(arguments.file, dataset=arguments.dataset, device=arguments.device)
    checks = found.checks
    passed = all(check.passed for check in checks)
    if arguments.json:
        parts = [
            {_JSON.get(k, k): None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(check).items()}
            | {"passed": check.passed}
            for check in checks
        ]
        print(json.dumps({"file": str(arguments.file), "model": found.model, "passed": passed, "parts": parts}))
    else:
        print(f"{found.model}, {found.tensors} tensors, {arguments.file}")
        print(format_table(checks))
        wrong = sum(not check.passed for check in checks)
        print("all parts agree" if passed else f"{wrong} of {len(checks)} parts are beyond the tolerance")
    return 0 if passed else 1


def format_table(checks: Sequence[PartCheck]) -> str:
    """Format the checks as lines of text."""
    lines = [f"{'part':<16}{'max diff':>11}{'mean diff':>11}   {'value':>9} {'rule':<16}{'limit':>8}  verdict"]
    for check in checks:
        differences = "".join(
            " " * 11 if math.isnan(value) else f"{value:>11.2e}"
            for value in (check.max_difference, check.mean_difference)
        )
        value = f"{check.value:>9.5f}" if ">=" in check.rule else f"{check.value:>9.2e}"
        lines.append(
            f"{check.part:<16}{differences}   {value} {check.rule:<16}{check.limit:>8g}  "
            f"{'ok' if check.passed else 'BEYOND'}"
        )
    return "\n".join(lines)
