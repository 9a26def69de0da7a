"""Scenes in a user's folder: the layout of `occdepth_ros.sources.layouts.folder`, with ground truth next to the images.

FOLDER/left, FOLDER/right, FOLDER/calibration.yaml    rectified pairs; see `occdepth_ros/sources/layouts/folder.py`
FOLDER/voxels/NAME.label    SemanticKITTI's format on its grid: uint16 raw ids, 256x256x32; NAME.invalid, one bit per
                            voxel, marks the unknown voxels
FOLDER/voxels/NAME.npz      the same for any grid: `target` uint8 `[X, Y, Z]`, 0 free, class ids, 255 unknown; `origin`
                            `[3]` and `resolution`, metres, in the calibration's grid_frame (default: SemanticKITTI's
                            grid); optional `seen`, packed by np.packbits, see `SceneExample`
FOLDER/depth/NAME.npy       optional, of the left image: float32 `[H, W]` metres, NaN = unknown, infinity = sky;
                            or NAME.png, 16 bits, 1/256 m, 0 = unknown (KITTI's format)
FOLDER/semantics/NAME.png   optional, of the left image: 8 bits, class ids, 255 = unknown

NAME is the name of the image without its suffix. Images without voxels are not scenes.
`occdepth voxelize` writes both kinds of voxels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.checks import Problem
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import GridError, OccDepthError, SourceError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID, read_benchmark
from occdepth_ros.sources.images import missing_names, read_levels
from occdepth_ros.sources.layouts.folder import is_folder, open_folder
from occdepth_ros.sources.sequence import FileSequence

DEPTH_UNIT = 1 / 256
_REPAIR = "Write the file again; docs/own_data.md describes the format."


class FolderScenes:
    """Scenes of one folder, or of several folders below one root (a `SceneDataset`).

    Args:
        root: a folder with left and right, or the parent of such folders.
        parts: names of the folders below root; empty = all folders.
        classes: number of classes; labels must be below this number, or 255.

    Raises:
        SourceError, ImageError, CalibrationError: a folder is unusable, has no voxels, or has voxels without images.
    """

    def __init__(self, root: Path, parts: Sequence[str] = (), *, classes: int = len(SEMANTIC_KITTI)) -> None:
        self._classes = classes
        self._places: list[tuple[str, FileSequence, int, Path]] = []
        for name, folder in folders_of(root, parts):
            source, ground_truths = open_folder(folder), _ground_truths(folder)
            row_of = {frame: row for row, frame in enumerate(source.frames)}
            lacking = [frame for frame in ground_truths if frame not in row_of]
            if lacking:
                raise SourceError(
                    f"{len(lacking)} of {len(ground_truths)} frames with voxels have no images: "
                    f"{missing_names(lacking)}",
                    where=str(folder),
                    remedy="Add them, or remove the voxels.",
                )
            self._places += [(f"{name}{frame}", source, row_of[frame], path) for frame, path in ground_truths.items()]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> list[str]:
        """Names of the scenes: FRAME for one folder, FOLDER/FRAME for several folders."""
        return [name for name, *_ in self._places]

    def __getitem__(self, index: int) -> SceneExample:
        """Read one scene.

        Raises:
            IndexError: `index` is out of range.
            SourceError, ImageError, GridError: a file of the scene is damaged, or inconsistent with the other files.
        """
        name, source, row, ground_truth = self._places[index]
        pair = source[row]
        folder, frame = ground_truth.parents[1], source.frames[row]
        size = (source.rig.left.width, source.rig.left.height)
        target, seen, grid = read_own_voxels(ground_truth, source.grid_frame, self._classes)
        depth = read_own_depth(folder, frame, size)
        semantics = read_own_semantics(folder, frame, size, self._classes)
        return SceneExample(name, pair.left, pair.right, source.rig, grid, target, seen, depth, semantics)


def folders_of(root: Path, parts: Sequence[str]) -> list[tuple[str, Path]]:
    """Return the folders of scenes, each with the prefix of the names of its scenes.

    Raises:
        SourceError: there are no folders, or one of `parts` is missing.
    """
    root = root.expanduser()
    if is_folder(root) and not parts:
        return [("", root)]
    found = {path.name: path for path in sorted(root.glob("*")) if is_folder(path)}
    missing = [part for part in parts if part not in found]
    if missing or not found:
        raise SourceError(
            f"there is no folder {missing[0]} with left and right"
            if missing
            else "there are no folders left and right",
            where=str(root),
            remedy=f"There are {', '.join(found)}." if found else "Give a folder with left, right, calibration.yaml.",
        )
    return [(f"{part}/", found[part]) for part in parts or found]


def read_own_voxels(
    path: Path, frame_id: str, classes: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None, VoxelGrid]:
    """Return the labels `[X, Y, Z]` uint8, the visibility `[X, Y, Z]` bool or None, and the grid.

    Raises:
        SourceError: the file is damaged, or holds invalid arrays or labels.
    """
    if path.suffix == ".label":
        ground_truth = read_benchmark(path)
        return ground_truth.labels, None, replace(ground_truth.grid, frame_id=frame_id)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = ("target", "origin", "resolution", "seen")
            found: dict[str, npt.NDArray[Any]] = {name: arrays[name] for name in names if name in arrays}
        target = found["target"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(f"the voxels cannot be read ({error})", where=str(path), remedy=_REPAIR) from error
    if target.dtype != np.uint8 or target.ndim != 3:
        raise SourceError(
            f"target is {target.dtype} {target.shape}, not uint8 [X, Y, Z]", where=str(path), remedy=_REPAIR
        )
    _check_labels(target, classes, path)
    try:
        origin = np.asarray(found.get("origin", BENCHMARK_GRID.origin), np.float64)
        resolution = float(found.get("resolution", BENCHMARK_GRID.resolution))
        x, y, z = origin.tolist()
        grid = VoxelGrid((x, y, z), (target.shape[0], target.shape[1], target.shape[2]), resolution, frame_id)
    except (GridError, TypeError, ValueError) as error:
        raise SourceError(
            f"origin and resolution are not three numbers and a positive number ({error})",
            where=str(path),
            remedy=_REPAIR,
        ) from error
    seen = None
    if "seen" in found:
        bits = found["seen"]
        if bits.dtype != np.uint8 or bits.shape != (-(-target.size // 8),):
            raise SourceError(
                f"seen is {bits.dtype} {bits.shape}, not one bit per voxel", where=str(path), remedy=_REPAIR
            )
        seen = np.unpackbits(bits, count=target.size).reshape(target.shape).astype(bool)
    return target, seen, grid


def read_own_depth(folder: Path, frame: str, size: tuple[int, int]) -> npt.NDArray[np.float32] | None:
    """Return the depth of a frame, `[H, W]` float32 metres, or None if there is no file.

    Raises:
        SourceError, ImageError: the file is damaged, or does not have the size of the images.
    """
    array = folder / "depth" / f"{frame}.npy"
    if array.is_file():
        try:
            depth = np.load(array, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise SourceError(f"the depth cannot be read ({error})", where=str(array), remedy=_REPAIR) from error
        if not isinstance(depth, np.ndarray) or depth.dtype != np.float32 or depth.shape != size[::-1]:
            raise SourceError(f"depth is not float32 {size[::-1]}", where=str(array), remedy=_REPAIR)
        return depth
    image = array.with_suffix(".png")
    if not image.is_file():
        return None
    levels = read_levels(image, size).astype(np.float32)
    return np.where(levels > 0, levels * DEPTH_UNIT, np.nan).astype(np.float32)


def read_own_semantics(folder: Path, frame: str, size: tuple[int, int], classes: int) -> npt.NDArray[np.uint8] | None:
    """Return the class ids of the pixels of a frame, `[H, W]` uint8, or None if there is no file.

    Raises:
        SourceError, ImageError: the file is damaged, does not have the size of the images, or holds invalid class ids.
    """
    path = folder / "semantics" / f"{frame}.png"
    if not path.is_file():
        return None
    ids = read_levels(path, size)
    _check_labels(ids, classes, path)
    return ids.astype(np.uint8)


def check_folder(root: Path, parts: Sequence[str], *, classes: int = len(SEMANTIC_KITTI)) -> Iterator[Problem]:
    """Check all files of the folders and yield damaged and inconsistent files.

    Raises:
        SourceError: there are no folders, or one of `parts` is missing.
    """
    for _, folder in folders_of(root, parts):
        try:
            source, ground_truths = open_folder(folder), _ground_truths(folder)
        except OccDepthError as error:
            yield Problem(Path(error.where or folder), error.what)
            continue
        auxiliary = {path.stem for part in ("depth", "semantics") for path in (folder / part).glob("*.*")}
        for frame in sorted(auxiliary.union(ground_truths).difference(source.frames)):
            yield Problem(folder, f"frame {frame} has a ground truth, but no images")
        for row in range(len(source)):
            yield from _check_frame(folder, source, row, ground_truths, classes)


def _check_frame(
    folder: Path, source: FileSequence, row: int, ground_truths: Mapping[str, Path], classes: int
) -> Iterator[Problem]:
    frame, size = source.frames[row], (source.rig.left.width, source.rig.left.height)
    checks: list[Callable[[], object]] = [
        lambda: source[row],
        lambda: read_own_depth(folder, frame, size),
        lambda: read_own_semantics(folder, frame, size, classes),
    ]
    if frame in ground_truths:
        checks.append(lambda: read_own_voxels(ground_truths[frame], source.grid_frame, classes))
    for check in checks:
        try:
            check()
        except OccDepthError as error:
            yield Problem(Path(error.where or folder), error.what)


def _ground_truths(folder: Path) -> dict[str, Path]:
    """Return the voxel files by frame; a `.label` file has precedence over an `.npz` file."""
    voxels = folder / "voxels"
    found = {path.stem: path for suffix in ("npz", "label") for path in voxels.glob(f"*.{suffix}")}
    if not found:
        raise SourceError(
            "there are neither .label nor .npz files",
            where=str(voxels),
            remedy="Create them with `occdepth voxelize`, or as `occdepth_ros/data/folder_scenes.py` describes.",
        )
    return dict(sorted(found.items()))


def _check_labels(labels: npt.NDArray[np.unsignedinteger[Any]], classes: int, path: Path) -> None:
    wrong = (labels >= classes) & (labels != UNKNOWN)
    if wrong.any():
        raise SourceError(
            f"{labels[wrong][0]} is not a class id (0 to {classes - 1}, or 255)", where=str(path), remedy=_REPAIR
        )
