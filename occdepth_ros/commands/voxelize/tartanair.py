"""`occdepth voxelize --kind tartanair`: create voxels of a TartanAir trajectory in the layout of scene folders."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from occdepth_ros.data.tartanair.dataset import Trajectory
from occdepth_ros.data.tartanair.scenes import STRIDE, make_ground_truth
from occdepth_ros.data.tartanair.voxels import TARTANAIR_GRID
from occdepth_ros.errors import SourceError
from occdepth_ros.files import check_new_files, whole_file


def run_tartanair(arguments: argparse.Namespace, reach: float) -> int:
    """Write FFFFFF.npz with `target`, `seen` (packed bits), `origin` and `resolution` for every requested frame.

    Raises:
        SourceError: the trajectory or a frame is not usable.
        OutputError: a file exists already, or cannot be written.
    """
    part = Trajectory(arguments.source)
    by_number = {int(name): name for name in part.frames}
    requested = (
        [number for number in by_number if number % STRIDE == 0] if arguments.frames is None else arguments.frames
    )
    missing = [number for number in requested if number not in by_number]
    if missing:
        raise SourceError(
            f"there is no frame {missing[0]}", where=str(part.folder), remedy=f"The last one is {part.frames[-1]}."
        )
    paths: dict[str, Path] = {by_number[number]: arguments.out / f"{by_number[number]}.npz" for number in requested}
    check_new_files(paths.values())
    for frame, path in track(paths.items(), "voxelize", console=Console(stderr=True)):
        scene = make_ground_truth(part, frame, part.read(frame), arguments.ground_truth, reach, STRIDE)
        with whole_file(path) as partial:
            np.savez_compressed(
                partial,
                target=scene.target,
                seen=np.packbits(scene.seen),
                origin=np.array(TARTANAIR_GRID.origin),
                resolution=np.array(TARTANAIR_GRID.resolution),
            )
    Console().print(f"{len(paths)} frames in {arguments.out}", soft_wrap=True, highlight=False)
    return 0
