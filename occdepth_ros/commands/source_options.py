"""`--source` with its choices, and the line and the warnings that are printed when a source was opened."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from occdepth_ros.errors import InputWarning
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources import SourceOptions, StereoSource, open_source
from occdepth_ros.stereo.extrinsics_checks import check_view, summarize


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "--source",
        type=Path,
        metavar="PATH",
        help="KITTI sequence, KITTI raw drive, ROS 1 or ROS 2 bag, or folder (default: the bundled sample)",
    )
    add("--topics", metavar="PART", default="", help="bag: part of the image topics' names, such as a namespace")
    add("--left", metavar="TOPIC", default="", help="bag: topic of the left images")
    add("--right", metavar="TOPIC", default="", help="bag: topic of the right images")
    add("--grid-frame", metavar="FRAME", default="", help="bag: frame of TF in which the voxel grid is fixed")


def open_chosen_source(arguments: argparse.Namespace) -> StereoSource:
    """Open the source that the options name.

    Raises:
        SourceError, ImageError, CalibrationError: as `open_source`.
    """
    options = SourceOptions(arguments.topics, arguments.left, arguments.right, arguments.grid_frame)
    return open_source(arguments.source, options)


def announce_source(source: StereoSource, grid: VoxelGrid) -> None:
    """Print one line on the rig, and the warnings, to stderr; warnings on the view are added to the description."""
    source.description = source.description.with_warnings(*check_view(source.rig, grid, source.name))
    about = source.description
    line = summarize(source.rig, grid, about.images or source.name, about.choice, about.pose)
    console = Console(stderr=True)
    console.print(line, soft_wrap=True, highlight=False, markup=False)
    print_warnings(about.warnings)


def print_warnings(warnings: tuple[InputWarning, ...]) -> None:
    """Print warnings to stderr."""
    console = Console(stderr=True)
    for warning in warnings:
        console.print(f"warning: {warning.name}: {warning}", soft_wrap=True, highlight=False, markup=False)
