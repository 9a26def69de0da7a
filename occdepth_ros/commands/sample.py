"""`occdepth sample`: a generated street drive with exact ground truth, such as the one in the package."""

from __future__ import annotations

import argparse
from pathlib import Path

from occdepth_ros.data.street.writer import StreetDrive, write_sequence
from occdepth_ros.errors import OutputError

SUMMARY = "generate a stereo street sequence with exact ground truth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write, new or empty")
    parser.add_argument("--frames", type=int, default=12, help="number of stereo pairs (default: 12)")
    parser.add_argument("--seed", type=int, default=1, help="which street; equal seeds give equal files (default: 1)")


def run(arguments: argparse.Namespace) -> int:
    """Write the sequence."""
    if not 1 <= arguments.frames <= 100:
        raise OutputError(
            f"{arguments.frames} frames cannot be made",
            where="--frames",
            remedy="Give 1 to 100; the street ends there.",
        )
    if arguments.seed < 0:
        raise OutputError(f"{arguments.seed} is negative", where="--seed", remedy="Give 0 or more.")
    write_sequence(
        arguments.out,
        StreetDrive(arguments.seed),
        frames=arguments.frames,
        report=lambda done: print(f"{done} of {arguments.frames} frames", flush=True),
    )
    print(f"wrote {arguments.out}")
    return 0
