"""The command `occdepth <verb>`: the package without ROS.

Each verb is a module of `occdepth_ros.commands` with `SUMMARY`, `add_arguments(parser)` and
`run(arguments) -> int`. A module is imported only if its verb or the help of its verb is requested.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from occdepth_ros import __version__
from occdepth_ros.errors import OccDepthError

VERBS = {
    "run": "predict every frame of a stereo sequence and write the results",
    "sample": "generate a synthetic stereo sequence with complete ground truth",
    "synthetic": "generate synthetic scenes for training: stereo pairs with depth, semantics and voxel ground truth",
    "train": "train a network on a data set",
    "reproduce": "run the stages of a plan: cross-validation over places, then the final training",
    "depth": "compute depth maps of a teacher for distillation in training",
    "map": "fuse the predictions of a drive into one map, and score it",
    "eval": "score a model against the ground truth of a data set",
    "calibrate": "calibrate the probabilities of a network on scenes kept for it, and choose its limits",
    "convert": "convert a stereo sequence to a rosbag2 recording, or a bag to a KITTI folder",
    "view": "show images, depth, voxels, map, path and timings in a browser, of a recording or of a running node",
    "render": "make a video of the completed scene along a sequence, and meshes",
    "submit": "write and check a submission to the SemanticKITTI completion benchmark",
    "voxelize": "create completion labels from labelled LiDAR scans with poses",
    "bench": "time the reference network and the optimized predictor",
    "export": "write a network with one calibration as an ONNX file, and check it",
    "weights": "verify networks against golden outputs, convert published checkpoints",
    "doctor": "check this machine and list what is missing",
}

RENAMED = {"--pictures": "--images", "--truth": "--ground-truth"}
"""Options by former name; a former name works and prints a warning."""
RENAMED_VERBS = {"street": "synthetic"}
"""Verbs by former name."""


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Create the parser; only the arguments of `verb` are declared, other verbs have a summary only."""
    parser = argparse.ArgumentParser(prog="occdepth", description="Live 3-D semantic occupancy for robots.")
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        sub = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == verb:
            module = import_module(f"occdepth_ros.commands.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; errors that a user can repair are printed as one line on stderr, with exit code 2."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    argv = [_current_name(argument) for argument in argv]
    if argv and argv[0] in RENAMED_VERBS:
        print(f"occdepth: {argv[0]} is deprecated; use {RENAMED_VERBS[argv[0]]}", file=sys.stderr)
        argv[0] = RENAMED_VERBS[argv[0]]
    if not argv:
        build_parser().print_help(sys.stderr)
        return 2
    verb = next((a for a in argv if a in VERBS), None)
    try:
        parsed = build_parser(verb).parse_args(argv)
        return int(parsed.run(parsed))
    except OccDepthError as error:
        print(f"occdepth {verb}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("occdepth_ros."):
            raise
        remedy = "`occdepth doctor` lists the packages that are missing, and how to install them"
        print(f"occdepth {verb}: the Python package {error.name} is not installed. {remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _current_name(argument: str) -> str:
    """Replace the former name of an option, with a warning on stderr."""
    option, separator, value = argument.partition("=")
    if option not in RENAMED:
        return argument
    print(f"occdepth: {option} is deprecated; use {RENAMED[option]}", file=sys.stderr)
    return RENAMED[option] + separator + value


if __name__ == "__main__":
    sys.exit(main())
