"""`occdepth sample`: generate a synthetic drive with complete ground truth, such as the sample in the package."""

from __future__ import annotations

import argparse
from pathlib import Path

from occdepth_ros.data.synthetic.drive import SyntheticDrive, write_sequence
from occdepth_ros.errors import OutputError

SUMMARY = "generate a synthetic stereo sequence with complete ground truth"
SEED = 12
"""Street of the sample in the package."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write, new or empty")
    parser.add_argument("--frames", type=int, default=12, help="number of stereo pairs (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="seed of the street; equal seeds give equal files (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the sequence.

    Raises:
        OutputError: a number is out of range, or the folder is not empty or cannot be written.
    """
    if not 1 <= arguments.frames <= 30:
        raise OutputError(
            f"{arguments.frames} frames cannot be generated",
            where="--frames",
            remedy="Give 1 to 30; the street ends after these.",
        )
    if arguments.seed < 0:
        raise OutputError(f"{arguments.seed} is negative", where="--seed", remedy="Give 0 or more.")
    write_sequence(
        arguments.out,
        SyntheticDrive(arguments.seed),
        frames=arguments.frames,
        report=lambda done: print(f"{done} of {arguments.frames} frames", flush=True),
    )
    print(f"wrote {arguments.out}")
    return 0
