"""`occdepth doctor`: check this machine; `occdepth doctor rig`: check stereo cameras, recorded or live."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from occdepth_ros.commands.doctor.findings import is_good, print_findings
from occdepth_ros.commands.options.grid import add_grid_arguments
from occdepth_ros.commands.options.source import add_source_arguments

SUMMARY = "check this machine and list what is missing; `doctor rig` checks stereo cameras"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "subject",
        nargs="?",
        choices=("machine", "rig"),
        default="machine",
        help="machine: libraries, GPU, ROS (default); rig: calibration, rows, delay, exposure and pose of the cameras",
    )
    add("--json", action="store_true", help="print JSON instead of lines")
    rig = parser.add_argument_group("options of rig")
    add_source_arguments(rig, measured_pose=False)
    add_grid_arguments(rig)
    rig.add_argument("--live", action="store_true", help="record topics of a running ROS 2 system, and check them")
    rig.add_argument(
        "--seconds", type=float, metavar="T", default=60.0, help="duration that is checked, s (default: %(default)g)"
    )
    rig.add_argument("--image", type=Path, metavar="FILE", help="write the matches and the ground as an image")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return 0 if nothing is missing or wrong, else 1.

    Raises:
        OccDepthError: the source of a rig cannot be opened.
    """
    # modules of the other subject are not imported: a machine without ROS or torch can check its cameras
    module = import_module(f"occdepth_ros.commands.doctor.{arguments.subject}")
    findings = list(module.examine(arguments) if arguments.subject == "rig" else module.examine())
    closing = {
        "machine": ("nothing is missing", "something is missing: see the lines above"),
        "rig": ("nothing is wrong", "something is wrong: see the lines above"),
    }[arguments.subject]
    print_findings(findings, closing, as_json=arguments.json)
    return 0 if is_good(findings) else 1
