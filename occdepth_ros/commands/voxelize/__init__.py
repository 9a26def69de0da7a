"""`occdepth voxelize`: create completion labels from labelled LiDAR scans with poses."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from occdepth_ros.commands.voxelize.tartanair import run_tartanair
from occdepth_ros.data.scans.labelled import LabelledScans
from occdepth_ros.data.scans.voxelize import PosedScan, completion_labels
from occdepth_ros.data.semantic_kitti.dataset import STRIDE
from occdepth_ros.data.tartanair.scenes import REACH as TARTANAIR_REACH
from occdepth_ros.errors import SourceError
from occdepth_ros.files import check_new_files, write_whole

SUMMARY = "create completion labels from labelled LiDAR scans, or depth images, with poses"

REACH = 70.0
"""Distance within which scans are merged, metres; scans farther away do not reach the grid."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("--kind", choices=["semantic_kitti", "tartanair"], default="semantic_kitti", help="layout (%(default)s)")
    add(
        "--source",
        type=Path,
        metavar="DIR",
        required=True,
        help="sequence with velodyne, labels, poses.txt, calib.txt; tartanair: trajectory such as office/Easy/P000",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        required=True,
        help="folder of FFFFFF.label, .invalid, .bin, .occluded; tartanair: FFFFFF.npz",
    )
    add("--frames", type=int, nargs="+", metavar="N", help=f"frame numbers (default: every {STRIDE}th scan)")
    add("--reach", type=float, metavar="M", help="merge scans within this distance, m (70; tartanair: 12)")
    add(
        "--ground-truth",
        choices=["fused", "visible"],
        default="fused",
        help="tartanair: merge the frames of the trajectory, or use a single frame as published (%(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        SourceError: scans, poses or frames are not usable.
        OutputError: a file exists already, or cannot be written.
    """
    tartanair = arguments.kind == "tartanair"
    reach: float = arguments.reach if arguments.reach is not None else TARTANAIR_REACH if tartanair else REACH
    if not reach >= 0:
        raise SourceError(f"{reach} m is not a valid distance", where="reach", remedy="Give metres, 0 for one scan.")
    if tartanair:
        return run_tartanair(arguments, reach)
    scans = LabelledScans(arguments.source)
    frames = select_frames(scans, arguments.frames)
    check_new_files(arguments.out / name for frame in frames for name in names_of(frame))
    for frame in track(frames, "voxelize", console=Console(stderr=True)):
        for suffix, content in labels_of(scans, frame, reach).items():
            write_whole(arguments.out / f"{frame}.{suffix}", content)
    Console().print(f"{len(frames)} frames in {arguments.out}", soft_wrap=True, highlight=False)
    return 0


def select_frames(scans: LabelledScans, numbers: list[int] | None) -> list[str]:
    """Return the names of the frames to create labels for.

    Raises:
        SourceError: a frame has no labelled scan.
    """
    by_number = {int(name): name for name in scans.frames}
    if numbers is None:
        numbers = [number for number in by_number if number % STRIDE == 0]
    missing = [number for number in numbers if number not in by_number]
    if missing or not numbers:
        raise SourceError(
            f"frame {missing[0]} has no labelled scan" if missing else f"no labelled scan's number divides by {STRIDE}",
            where=str(scans.path),
            remedy=f"There are {len(by_number)} of them, from {scans.frames[0]} to {scans.frames[-1]}.",
        )
    return [by_number[number] for number in dict.fromkeys(numbers)]


def names_of(frame: str) -> list[str]:
    """Return the file names of a frame's labels."""
    return [f"{frame}.{suffix}" for suffix in ("label", "invalid", "bin", "occluded")]


def labels_of(scans: LabelledScans, frame: str, reach: float) -> dict[str, bytes]:
    """Return the file contents of a frame by suffix, from the scans within `reach` metres."""

    def posed(name: str) -> PosedScan:
        return PosedScan(*scans.read(name), scans.relative_pose(name, frame))

    others = (posed(name) for name in scans.near(frame, reach) if name != frame)
    return completion_labels(posed(frame), others).files()
