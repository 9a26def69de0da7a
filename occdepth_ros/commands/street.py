"""`occdepth street`: generated scenes to learn from, on disk."""

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial
from pathlib import Path

import cv2
from rich.console import Console
from rich.progress import track

from occdepth_ros.data.synthetic.dataset import SPLITS, StreetDataset
from occdepth_ros.data.synthetic.folder import MOST_EARLIER, write_scene
from occdepth_ros.errors import OutputError

SUMMARY = "generate random street scenes for training: stereo pairs with depth, semantics and voxel ground truth"

FARTHEST = -20
"""Streets end behind the car; so many frames ago it was still on them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("--count", type=int, metavar="N", required=True, help="number of scenes")
    add("--seed", type=int, metavar="S", default=0, help="another seed, other streets (%(default)s)")
    add("--out", type=Path, metavar="DIR", required=True, help="SPLIT-SEED-INDEX.npz go there; those there are kept")
    add("--split", choices=sorted(SPLITS), default="train", help="streets of one split are in no other (%(default)s)")
    add("--first", type=int, metavar="I", default=0, help="index of the first scene (%(default)s)")
    add("--workers", type=int, metavar="K", default=1, help="processes (%(default)s)")
    add(
        "--past",
        type=int,
        nargs="+",
        metavar="OFFSET",
        default=[],
        help="also what the left camera saw so many frames of 0.1 s before, such as -6 -3, for networks that look back",
    )
    add("--size", type=int, nargs=2, metavar=("W", "H"), default=(620, 188), help="of the images (620 188)")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OutputError: a number is out of range, or a file cannot be written.
    """
    for name, least in (("count", 1), ("seed", 0), ("first", 0), ("workers", 1)):
        if getattr(arguments, name) < least:
            raise OutputError(
                f"{getattr(arguments, name)} is below {least}", where=f"--{name}", remedy="Give a larger number."
            )
    width, height = arguments.size
    if not (64 <= width <= 4096 and 64 <= height <= 4096):
        raise OutputError(f"{width}x{height} is no size of an image", where="--size", remedy="Give 64 to 4096 pixels.")
    first, last = arguments.first, arguments.first + arguments.count
    past = tuple(arguments.past)
    if len(past) > MOST_EARLIER or len(set(past)) < len(past) or not all(FARTHEST <= offset < 0 for offset in past):
        raise OutputError(
            f"{' '.join(map(str, past))} are no offsets of earlier frames",
            where="--past",
            remedy=f"Give up to {MOST_EARLIER} different ones from {FARTHEST} to -1.",
        )
    streets = StreetDataset(arguments.seed, last, width, height, split=arguments.split, past=past)
    missing = [i for i in range(first, last) if not (arguments.out / f"{streets.name(i)}.npz").exists()]
    write = partial(_write, streets, arguments.out)
    console = Console(stderr=True)
    if arguments.workers == 1:
        for index in track(missing, "street", console=console):
            write(index)
    else:
        # a fresh interpreter each: OpenCV's threads do not survive a fork
        with multiprocessing.get_context("spawn").Pool(min(arguments.workers, max(len(missing), 1)), _alone) as pool:
            for _ in track(pool.imap_unordered(write, missing), "street", total=len(missing), console=console):
                pass
    Console().print(
        f"{arguments.count} scenes in {arguments.out}, {len(missing)} of them new", soft_wrap=True, highlight=False
    )
    return 0


def _alone() -> None:
    cv2.setNumThreads(1)


def _write(streets: StreetDataset, out: Path, index: int) -> None:
    write_scene(streets[index], out / f"{streets.name(index)}.npz")
