"""`occdepth synthetic`: generate synthetic scenes for training."""

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.data.synthetic.dataset import SPLITS, SyntheticDataset
from occdepth_ros.data.synthetic.folder import MAX_EARLIER, read_scene, write_scene
from occdepth_ros.errors import OutputError
from occdepth_ros.files import whole_file
from occdepth_ros.visualization.scene_rows import draw_scene_row

SUMMARY = "generate synthetic scenes for training: stereo pairs with depth, semantics and voxel ground truth"

MIN_OFFSET = -20
"""Smallest offset of an earlier image, frames: the synthetic streets do not extend further behind the camera."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("--count", type=int, metavar="N", required=True, help="number of scenes")
    add("--seed", type=int, metavar="S", default=0, help="seed of the scenes (default: %(default)s)")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        required=True,
        help="folder for SPLIT-SEED-INDEX.npz; existing files are kept",
    )
    add("--split", choices=sorted(SPLITS), default="train", help="no scene is in two splits (default: %(default)s)")
    add("--first", type=int, metavar="I", default=0, help="index of the first scene (default: %(default)s)")
    add("--workers", type=int, metavar="K", default=1, help="number of processes (default: %(default)s)")
    add(
        "--past",
        type=int,
        nargs="+",
        metavar="OFFSET",
        default=[],
        help="add earlier images of the left camera at these offsets in frames of 0.1 s, such as -6 -3, for networks "
        "with temporal input",
    )
    add(
        "--size",
        type=int,
        nargs=2,
        metavar=("W", "H"),
        default=(620, 188),
        help="size of the images, pixels (default: 620 188)",
    )
    add(
        "--figure",
        type=Path,
        metavar="FILE",
        help="also draw image, depth, classes and ground truth from above of the first scenes, up to 5",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OutputError: a number is out of range, or a file cannot be written.
    """
    for name, minimum in (("count", 1), ("seed", 0), ("first", 0), ("workers", 1)):
        if getattr(arguments, name) < minimum:
            raise OutputError(
                f"{getattr(arguments, name)} is below {minimum}", where=f"--{name}", remedy="Give a larger number."
            )
    width, height = arguments.size
    if not (64 <= width <= 4096 and 64 <= height <= 4096):
        raise OutputError(f"unsupported image size {width}x{height}", where="--size", remedy="Give 64 to 4096 pixels.")
    first, last = arguments.first, arguments.first + arguments.count
    past = tuple(arguments.past)
    if len(past) > MAX_EARLIER or len(set(past)) < len(past) or not all(MIN_OFFSET <= offset < 0 for offset in past):
        raise OutputError(
            f"{' '.join(map(str, past))} are no offsets of earlier frames",
            where="--past",
            remedy=f"Give up to {MAX_EARLIER} different ones from {MIN_OFFSET} to -1.",
        )
    if arguments.figure is not None:
        _format(arguments.figure)
    scenes = SyntheticDataset(arguments.seed, last, width, height, split=arguments.split, past=past)
    missing = [i for i in range(first, last) if not (arguments.out / f"{scenes.name(i)}.npz").exists()]
    write = partial(_write, scenes, arguments.out)
    console = Console(stderr=True)
    if arguments.workers == 1:
        for index in track(missing, "synthetic", console=console):
            write(index)
    else:
        # each process is a new interpreter, because OpenCV's threads do not survive a fork
        with multiprocessing.get_context("spawn").Pool(min(arguments.workers, max(len(missing), 1)), _alone) as pool:
            for _ in track(pool.imap_unordered(write, missing), "synthetic", total=len(missing), console=console):
                pass
    if arguments.figure is not None:
        _draw(scenes, range(first, min(last, first + 5)), arguments.out, arguments.figure)
    Console().print(
        f"{arguments.count} scenes in {arguments.out}, {len(missing)} of them new", soft_wrap=True, highlight=False
    )
    return 0


def _alone() -> None:
    cv2.setNumThreads(1)


def _write(scenes: SyntheticDataset, out: Path, index: int) -> None:
    write_scene(scenes[index], out / f"{scenes.name(index)}.npz")


def _draw(scenes: SyntheticDataset, indices: range, out: Path, figure: Path) -> None:
    rows = []
    for index in indices:
        scene = read_scene(out / f"{scenes.name(index)}.npz")
        assert scene.depth is not None and scene.semantics is not None
        rows.append(draw_scene_row(scene.left, scene.depth, scene.semantics, scene.target, SEMANTIC_KITTI))
    try:
        with whole_file(figure) as partial_file:
            Image.fromarray(np.vstack(rows)).save(partial_file, _format(figure), quality=88)
    except OSError as error:
        raise OutputError(
            f"cannot write: {error}", where=str(figure), remedy="Check free space and permissions."
        ) from error


def _format(figure: Path) -> str:
    formats = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
    if figure.suffix.lower() not in formats:
        raise OutputError(f"unknown image format {figure.suffix!r}", where="--figure", remedy="Use .jpg or .png.")
    return formats[figure.suffix.lower()]
