"""Check of a download of TartanAir: missing, truncated and invalid files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from occdepth_ros.data.checks import Problem
from occdepth_ros.data.tartanair.dataset import (
    FILES,
    IMAGE,
    SCENE,
    expand_trajectories,
    frame_names,
    read_array,
    read_ned_poses,
)
from occdepth_ros.errors import OccDepthError, SourceError
from occdepth_ros.sources.images import image_size, missing_names


def check_tartanair(root: Path, names: Sequence[str]) -> Iterator[Problem]:
    """Check all files of trajectories and yield missing, truncated and invalid files.

    Raises:
        SourceError: a name is neither a trajectory nor a split.
    """
    root = root.expanduser()
    base = root / SCENE if (root / SCENE).is_dir() else root
    for name in expand_trajectories(names):
        folder = base / name
        if not folder.is_dir():
            yield Problem(folder, "the trajectory is missing")
            continue
        yield from _check_trajectory(folder)


def _check_trajectory(folder: Path) -> Iterator[Problem]:
    present = {part: frame_names(folder, part) for part in FILES}
    frames = sorted(set.union(*present.values()))
    for file in ("pose_left.txt", "pose_right.txt"):
        try:
            count = len(read_ned_poses(folder / file))
        except OccDepthError as error:
            yield Problem(folder / file, error.what)
            continue
        if count != len(frames):
            yield Problem(folder / file, f"there are {count} poses for {len(frames)} frames")
    for part, stems in present.items():
        lacking = [frame for frame in frames if frame not in stems]
        if lacking:
            yield Problem(
                folder / part, f"{len(lacking)} of {len(frames)} files are missing ({missing_names(lacking)})"
            )
        for frame in sorted(stems):
            path = folder / part / FILES[part].format(frame)
            try:
                _check_file(path, part)
            except OccDepthError as error:
                yield Problem(path, error.what)


def _check_file(path: Path, part: str) -> None:
    if part in ("image_left", "image_right"):
        if (size := image_size(path)) != IMAGE:
            raise SourceError(f"the image is {size[0]}x{size[1]}, not 640x480", where=str(path))
    elif part == "depth_left":
        read_array(path, np.float32)
    else:
        read_array(path, np.uint8)
