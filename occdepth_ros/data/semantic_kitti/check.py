"""Check of a download of SemanticKITTI: missing, truncated and invalid files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from occdepth_ros.data.checks import Problem
from occdepth_ros.data.semantic_kitti.dataset import SPLITS, voxel_frames
from occdepth_ros.errors import OccDepthError
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID
from occdepth_ros.sources.images import SUFFIXES, image_size, missing_names
from occdepth_ros.sources.tables import read_calibration

_VOXELS = BENCHMARK_GRID.count
VOXEL_BYTES = {"bin": _VOXELS // 8, "label": 2 * _VOXELS, "invalid": _VOXELS // 8, "occluded": _VOXELS // 8}
"""Size of each kind of voxel file, bytes."""

UNLABELLED = ("bin",)
"""Kinds of voxel files of the test sequences."""

ARCHIVES = {
    "image_2": "data_odometry_color.zip of KITTI",
    "image_3": "data_odometry_color.zip of KITTI",
    "calib.txt": "data_odometry_calib.zip of KITTI, the one with Tr",
    "voxels": "the voxel archive of SemanticKITTI",
}
"""Archive that contains each part of a sequence."""


def check_sequence(folder: Path) -> Iterator[Problem]:
    """Check the files of one sequence that the completion benchmark requires and yield problems.

    Args:
        folder: folder of the sequence, named 00 to 21. Every fifth scan of the sequence is required.
    """
    frames = [f"{number:06d}" for number in voxel_frames(folder.name)]
    if not folder.is_dir():
        yield Problem(folder, "the sequence is missing")
        return
    yield from _check_calibration(folder / "calib.txt")
    for name in ("image_2", "image_3"):
        yield from _check_images(folder / name, frames)
    kinds = UNLABELLED if folder.name in SPLITS["test"] else tuple(VOXEL_BYTES)
    for kind in kinds:
        yield from _check_voxels(folder / "voxels", kind, frames)


def _check_calibration(path: Path) -> Iterator[Problem]:
    try:
        entries = read_calibration(path)
    except OccDepthError as error:
        yield Problem(path, f"{error.what}; it is in {ARCHIVES['calib.txt']}")
        return
    wrong = [key for key in ("P2", "P3", "Tr") if key not in entries or entries[key].size != 12]
    if wrong:
        yield Problem(path, f"{', '.join(wrong)} must have twelve numbers; use {ARCHIVES['calib.txt']}")


def _check_images(folder: Path, frames: Sequence[str]) -> Iterator[Problem]:
    present = {file.stem: file for file in folder.glob("*") if file.suffix.lower() in SUFFIXES}
    yield from _missing(folder, "images", frames, present)
    sizes: dict[Path, tuple[int, int]] = {}
    for frame in frames:
        if frame in present:
            try:
                sizes[present[frame]] = image_size(present[frame])
            except OccDepthError as error:
                yield Problem(present[frame], error.what)
    if sizes:
        (width, height), _ = Counter(sizes.values()).most_common(1)[0]
        for path, size in sizes.items():
            if size != (width, height):
                yield Problem(path, f"the image is {size[0]}x{size[1]}, but most images are {width}x{height}")


def _check_voxels(folder: Path, kind: str, frames: Sequence[str]) -> Iterator[Problem]:
    present = {file.stem: file for file in folder.glob(f"*.{kind}")}
    yield from _missing(folder, f".{kind} files", frames, present)
    for frame in sorted(present):
        if frame not in frames:
            yield Problem(present[frame], "the benchmark has no voxels for this frame")
        elif (size := present[frame].stat().st_size) != VOXEL_BYTES[kind]:
            yield Problem(present[frame], f"the file has {size} bytes, not {VOXEL_BYTES[kind]}")


def _missing(folder: Path, what: str, frames: Sequence[str], present: dict[str, Path]) -> Iterator[Problem]:
    missing = [frame for frame in frames if frame not in present]
    if missing:
        archive = ARCHIVES[folder.name]
        names = missing_names(missing)
        yield Problem(folder, f"{len(missing)} of {len(frames)} {what} are missing ({names}); they are in {archive}")
