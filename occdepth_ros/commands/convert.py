"""`occdepth convert`: a stereo sequence as a rosbag2 recording, or as a KITTI odometry folder."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from occdepth_ros.commands.options.frames import select_frames
from occdepth_ros.commands.options.source import add_source_arguments, open_chosen_source, print_damaged
from occdepth_ros.errors import ImageError, OutputError
from occdepth_ros.files import whole_folder
from occdepth_ros.sources.bags.reader import is_bag
from occdepth_ros.sources.base import SizedSource, StereoFrame, StereoSource
from occdepth_ros.sources.factory import SAMPLE
from occdepth_ros.sources.readable import first_readable, readable_frames
from occdepth_ros.sources.writers.bag import write_bag
from occdepth_ros.sources.writers.kitti import write_kitti

SUMMARY = "convert a stereo sequence to a rosbag2 recording, or a bag to a KITTI folder"
MCAP, KITTI = "mcap", "kitti"
EXACT_M = 1e-6
"""Displacement of the right camera along its optical axis above which it is reported, metres."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="as --source of occdepth run: folder or bag; `sample`")
    add("out", type=Path, metavar="OUT", help="folder to write, new or empty")
    add(
        "--to",
        choices=(MCAP, KITTI),
        help="mcap: a rosbag2 recording; kitti: a KITTI odometry folder (default: kitti for a bag, mcap for a folder)",
    )
    add("--compressed", action="store_true", help="mcap: images as CompressedImage with PNG, which loses nothing")
    add_source_arguments(parser, measured_pose=False, path=False)
    add("--start", type=int, metavar="N", default=0, help="first frame (default: %(default)s)")
    add("--count", type=int, metavar="N", help="number of frames (default: all)")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OccDepthError: the source cannot be read, or the result cannot be written or represented.
    """
    kind = arguments.to or (KITTI if str(arguments.source) != SAMPLE and is_bag(arguments.source) else MCAP)
    if kind == KITTI and arguments.compressed:
        raise OutputError(
            "a KITTI folder has PNG files anyway", where="--compressed", remedy="Leave it out, or give --to mcap."
        )
    source = open_chosen_source(arguments)
    frames = select_frames(len(source), arguments.start, arguments.count, source.name)
    if isinstance(source, SizedSource):
        source.check_sizes(frames)
    for warning in source.description.warnings:
        print(f"warning: {warning.name}: {warning}", file=sys.stderr)
    left_out: list[int] = []
    with terminated_as_interrupted(), whole_folder(arguments.out) as place:
        if kind == MCAP:
            write_bag(place, source, read_frames(source, frames, left_out), compressed=arguments.compressed)
        else:
            write_kitti(place, source, read_frames(source, frames, left_out))
    about = f"{len(frames) - len(left_out)} pairs, grid frame {source.grid_frame!r}"
    Console().print(f"{about}, in {arguments.out}", soft_wrap=True, highlight=False, markup=False)
    for note in notes(source, kind, first_readable(source, frames)):
        print(f"note: {note}", file=sys.stderr)
    return 0


def read_frames(source: StereoSource, frames: Sequence[int], left_out: list[int]) -> Iterator[StereoFrame]:
    """Yield the readable frames and show the progress; report the others on stderr and in `left_out`."""

    def leave_out(index: int, error: ImageError) -> None:
        left_out.append(index)
        print_damaged(index, error)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        shown = progress.track(frames, description="pairs")
        for _, frame in readable_frames(source, shown, leave_out):
            yield frame


def notes(source: StereoSource, kind: str, first: StereoFrame) -> Iterator[str]:
    """Yield one line for each property of the source and its first frame that the result does not represent."""
    if kind == MCAP and first.stamp_ns == 0:
        yield "the first stamp is 0, which ROS programs read as no stamp: give the source times, or use --start 1"
    if first.world_from_grid is None:
        yield "the source has no poses: the map and networks with memory have no fixed frame"
    along = float(source.rig.right.translation[2] - source.rig.left.translation[2])
    if kind == MCAP and abs(along) > EXACT_M:
        yield f"CameraInfo does not define a displacement along the optical axis: {1e3 * along:.2f} mm are in TF only"
    if kind == KITTI and source.grid_frame != "velodyne":
        yield f"the grid's frame {source.grid_frame!r} is named velodyne in KITTI sequences; its pose is kept"


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, so that an interrupted conversion removes its temporary files."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
