"""Ground truth of a sequence: voxel labels of the SemanticKITTI benchmark, or derived labels in npz files."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.errors import SourceError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.base import SceneGroundTruth

BENCHMARK_GRID = replace(VoxelGrid.semantic_kitti(), origin=(0.0, -25.6, -2.2))
"""Grid of the benchmark's voxels: LiDAR points are one layer higher than with an origin at z = -2.0 m (measured)."""
_REPAIR = "Copy or download the file again, or remove it."


def read_ground_truth(folder: Path, frame: str) -> SceneGroundTruth | None:
    """Return the ground truth of a frame, None if `folder` has none.

    `FRAME.label` and `FRAME.invalid` (SemanticKITTI) precede `FRAME.<name>.npz` with `target`
    (`[X, Y, Z]` uint8 class ids, 255 unknown), optionally `invalid` (packed bits), and `origin` (`[3]` metres; default:
    that of the benchmark).

    Raises:
        SourceError: a file is damaged.
    """
    label = folder / f"{frame}.label"
    if label.is_file():
        return read_benchmark(label)
    derived = sorted(folder.glob(f"{frame}.*.npz"))
    return read_derived(derived[0], derived[0].name[len(frame) + 1 : -len(".npz")]) if derived else None


def read_benchmark(path: Path) -> SceneGroundTruth:
    """Return the benchmark's labels; voxels marked in the corresponding `.invalid` file are unknown.

    Raises:
        SourceError: a file is missing, unreadable or of the wrong size.
    """
    count = BENCHMARK_GRID.count
    raw = np.frombuffer(_contents(path, 2 * count), "<u2")
    labels = SEMANTIC_KITTI.from_raw(raw).reshape(BENCHMARK_GRID.size)
    invalid = path.with_suffix(".invalid")
    if invalid.is_file():
        labels[read_bits(invalid)] = UNKNOWN
    return SceneGroundTruth(labels, BENCHMARK_GRID, "semantic_kitti")


def read_bits(path: Path) -> npt.NDArray[np.bool_]:
    """Return one of the benchmark's masks (`.bin`, `.invalid`, `.occluded`), `[X, Y, Z]`.

    Raises:
        SourceError: the file is missing, unreadable or of the wrong size.
    """
    bits = np.unpackbits(np.frombuffer(_contents(path, BENCHMARK_GRID.count // 8), np.uint8))
    return bits.reshape(BENCHMARK_GRID.size).astype(bool)


def _contents(path: Path, expected: int) -> bytes:
    try:
        size = path.stat().st_size
        if size != expected:
            raise SourceError(f"the file has {size} bytes, not {expected}", where=str(path), remedy=_REPAIR)
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"the file cannot be read ({error.strerror})", where=str(path)) from error


def read_derived(path: Path, name: str) -> SceneGroundTruth:
    """Return labels derived from other data, in an npz file with the arrays that `read_ground_truth` lists.

    Raises:
        SourceError: the file is missing or damaged, or has other arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            target = arrays["target"]
            invalid = arrays.get("invalid")
            origin = arrays.get("origin", np.array(BENCHMARK_GRID.origin))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(f"the ground truth cannot be read ({error})", where=str(path), remedy=_REPAIR) from error
    size = BENCHMARK_GRID.size
    if target.shape != size or target.dtype != np.uint8 or origin.shape != (3,):
        raise SourceError(f"target is {target.dtype} {target.shape}, not uint8 {size}", where=str(path))
    labels = np.ascontiguousarray(target)
    if invalid is not None:
        bits = np.unpackbits(invalid)
        if bits.size != labels.size:
            raise SourceError(f"invalid has {bits.size} bits, not {labels.size}", where=str(path), remedy=_REPAIR)
        labels[bits.reshape(size).astype(bool)] = UNKNOWN
    grid = replace(BENCHMARK_GRID, origin=(float(origin[0]), float(origin[1]), float(origin[2])))
    return SceneGroundTruth(labels, grid, name)
