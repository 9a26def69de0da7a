"""Submissions to the scene completion benchmark: a zip of raw labels for the benchmark's frames of the test sequences.

sequences/SS/predictions/FFFFFF.label   uint16 raw ids, 256x256x32, C order of (x, y, z); SS from 11 to 21
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.data.semantic_kitti.dataset import LISTED_ONLY, SPLITS, benchmark_frames, voxel_frames
from occdepth_ros.errors import OutputError
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

_BYTES = 2 * BENCHMARK_GRID.count
_EPOCH = (1980, 1, 1, 0, 0, 0)
DESCRIPTION = "description.txt"
"""The only other file that a submission may contain."""


def entry_name(sequence: str, frame: str) -> str:
    """Return the name of the label file of a frame in the zip."""
    return f"sequences/{sequence}/predictions/{frame}.label"


def folder_names() -> list[str]:
    """Return the folders that must be entries of the zip."""
    below = (name for sequence in SPLITS["test"] for name in (f"{sequence}/", f"{sequence}/predictions/"))
    return ["sequences/", *(f"sequences/{name}" for name in below)]


def expected_names(root: Path | None = None) -> list[str]:
    """Return the label files of a complete submission. Arguments and errors are those of `benchmark_frames`."""
    return [entry_name(name, frame) for name in SPLITS["test"] for frame in benchmark_frames(name, root)]


class SubmissionWriter:
    """Writer of a submission. The bytes of the zip depend only on the labels.

    Args:
        path: path of the zip, which is written one label file at a time.
    """

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        for name in folder_names():
            folder = zipfile.ZipInfo(name, _EPOCH)
            folder.external_attr = 0o40755 << 16 | 0x10
            self._archive.writestr(folder, b"")

    def add(self, sequence: str, frame: str, labels: npt.NDArray[np.uint8]) -> None:
        """Add the class ids of a frame, `[256, 256, 32]` on the benchmark's grid. Unknown is written as empty."""
        entry = zipfile.ZipInfo(entry_name(sequence, frame), _EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        self._archive.writestr(entry, SEMANTIC_KITTI.to_raw(labels).astype("<u2").tobytes())

    def close(self) -> None:
        """Write the central directory of the zip."""
        self._archive.close()


def check_submission(path: Path, root: Path | None = None) -> Iterator[str]:
    """Yield the reasons for which the benchmark would reject a submission.

    The rules are those of the official validator (semantic-kitti-api, validate_submission.py --task completion): name
    and folders of the zip, one label file of the full size per voxel file of the data set, and no other file
    but `DESCRIPTION`. Class ids are checked too, which the official validator does not do.

    Args:
        path: path of the zip.
        root: see `benchmark_frames`; None = the frames of `LISTED_ONLY` are not checked for completeness.

    Raises:
        OutputError: the file cannot be read as a zip.
        SourceError: the data set does not list the frames of a sequence.
    """
    if path.suffix != ".zip":
        yield f"{path.name}: the name does not end in .zip"
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _check(archive, root)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise OutputError(f"the zip cannot be read ({error})", where=str(path), remedy="Write it again.") from error


def _check(archive: zipfile.ZipFile, root: Path | None) -> Iterator[str]:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if root is None:
        # For sequences with an unknown number of frames, the zip must contain at least one of every fifth scan.
        known = [name for name in SPLITS["test"] if name not in LISTED_ONLY]
        possible = [entry_name(s, f"{n:06d}") for s in SPLITS["test"] if s in LISTED_ONLY for n in voxel_frames(s)]
        present = [name for name in possible if name in entries]
        if possible and not present:
            yield f"sequences {', '.join(LISTED_ONLY)}: no label file"
        expected = [entry_name(name, frame) for name in known for frame in benchmark_frames(name)] + present
    else:
        expected = expected_names(root)
    if len(entries) < len(archive.infolist()):
        yield "the zip lists a name twice"
    for name in folder_names():
        if name not in entries:
            yield f"{name}: the folder is not an entry of the zip"
    for name in sorted(entries.keys() - {*expected, *folder_names(), DESCRIPTION}):
        yield f"{name}: this entry is not allowed in a submission"
    classes = np.fromiter(SEMANTIC_KITTI.class_to_raw.values(), np.uint16)
    for name in expected:
        entry = entries.get(name)
        if entry is None:
            yield f"{name}: missing"
        elif entry.file_size != _BYTES:
            yield f"{name}: {entry.file_size} bytes, not {_BYTES}"
        elif not np.isin(np.frombuffer(archive.read(entry), "<u2"), classes).all():
            yield f"{name}: contains ids that are not classes of the benchmark"
