"""The command `occdepth <verb>`: the package without ROS.

Each verb is a module of `occdepth_ros.commands` with `SUMMARY`, `add_arguments(parser)` and
`run(arguments) -> int`; modules are imported only when their verb or its help is asked for.
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
    "sample": "generate a stereo street sequence with exact ground truth",
    "street": "generate random street scenes for training: stereo pairs with depth, semantics and voxel ground truth",
    "train": "teach a network a data set",
    "depth": "make depth maps of a teacher, to be distilled in training",
    "map": "fuse the predictions of a drive into one map, and score it",
    "eval": "score a model against the ground truth of a data set",
    "render": "make a video of the completed scene along a sequence, and meshes",
    "submit": "write and check a submission to the SemanticKITTI completion benchmark",
    "voxelize": "make completion labels from labelled LiDAR scans with poses",
    "bench": "time a network plain and as the predictor runs it",
    "export": "write a network with one calibration as an ONNX file, and check it",
    "weights": "verify networks against golden outputs, convert published checkpoints",
    "doctor": "say what this machine has and what is missing",
}

RENAMED = {"--pictures": "--images", "--truth": "--ground-truth"}
"""Options by their former names; a former name still works and prints a warning."""


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Make the parser; only the arguments of `verb` are filled in, the others stay one-line entries."""
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
    """Run one verb; errors that the user can repair end as one line on stderr and exit code 2."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    argv = [_current_name(argument) for argument in argv]
    verb = next((a for a in argv if a in VERBS), None)
    parsed = build_parser(verb).parse_args(argv)
    try:
        return int(parsed.run(parsed))
    except OccDepthError as error:
        print(f"occdepth {parsed.verb}: {error}", file=sys.stderr)
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
