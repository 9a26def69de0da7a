"""`occdepth depth`: compute depth maps of a teacher for distillation in training."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from occdepth_ros.commands.options.scenes import add_dataset_arguments, open_scenes
from occdepth_ros.training.teachers import TEACHERS, DepthCache

SUMMARY = "compute depth maps of a teacher for distillation in training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add_dataset_arguments(parser)
    parser.add_argument("--teacher", choices=list(TEACHERS), default="sgm", help="(default: %(default)s)")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights of a network teacher, from `occdepth weights convert`"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        required=True,
        help="the maps go to DIR/depth_TEACHER/DATASET, where `occdepth train --cache DIR` finds them; those there "
        "are kept",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OccDepthError: the data set cannot be read, or a map cannot be written.
    """
    scenes = open_scenes(arguments, arguments.out)
    cache = DepthCache(
        arguments.out / f"depth_{arguments.teacher}" / arguments.dataset, arguments.teacher, arguments.weights
    )
    covered = []
    for index in track(range(len(scenes)), arguments.teacher, console=Console(stderr=True)):
        covered.append(np.isfinite(cache.depth(scenes[index])).mean())
    Console().print(
        f"{len(covered)} maps in {cache.folder}, {100 * np.mean(covered):.0f} % of the pixels have depth",
        soft_wrap=True,
        highlight=False,
    )
    return 0
