"""SemanticKITTI as scenes to learn from: the benchmark's voxels, derived ones, or ones completed from scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.label_cache import LabelCache
from occdepth_ros.data.lidar_picture import project_scan
from occdepth_ros.data.scan_completion import CompletedScene, CompletionRule, complete_scans
from occdepth_ros.data.semantic_kitti import OFFICIAL, LabelledSequence, SemanticKitti, expand_sequences, find_root
from occdepth_ros.data.voxelize import PosedScan, visible_from
from occdepth_ros.data.voxelize_scans import LabelledScans
from occdepth_ros.errors import SourceError
from occdepth_ros.sources.images import missing_names
from occdepth_ros.sources.kitti_odometry import open_kitti_odometry
from occdepth_ros.sources.sequence import FileSequence
from occdepth_ros.sources.truth import BENCHMARK_GRID, read_bits

DEFAULT_RULE = CompletionRule()
"""Scans before and after the frame: without those before, the last frames of a short drive have one scan each."""

SCANS = "scans"
"""Name of the labels that are completed from the labelled scans of the sequence."""


class SemanticKittiScenes:
    """Scenes of SemanticKITTI (a `SceneDataset`).

    Depth and classes of the left picture's pixels come from the frame's own labelled scan, where there is one.

    Args:
        root: the folder with `dataset`, or that folder.
        sequences: names of sequences or splits, see `expand_sequences`.
        labels: `OFFICIAL`, the name of a derived truth such as "recon10", or `SCANS`.
        cache: folder that keeps the truths of `SCANS`, which take a second each; None makes them every time.
        rule: how scans become truths, for `SCANS`; `scan_completion.RECON10` is the nearest to recon10.
        stride: a scene every so many labelled scans, for `SCANS`.

    Raises:
        SourceError, ImageError, CalibrationError: a sequence is missing, incomplete, or has no such labels.
    """

    def __init__(
        self,
        root: Path,
        sequences: Sequence[str],
        labels: str = OFFICIAL,
        *,
        cache: Path | None = None,
        rule: CompletionRule = DEFAULT_RULE,
        stride: int = 1,
    ) -> None:
        if stride < 1:
            raise SourceError(f"a stride of {stride} scans is none", where="stride", remedy="Give 1 or more.")
        parts: list[_Sequence]
        if labels == SCANS:
            folders = [find_root(root) / "sequences" / name for name in expand_sequences(sequences)]
            keeper = None if cache is None else LabelCache(cache)
            parts = [_FromScans(folder, rule, keeper, stride) for folder in folders]
        else:
            parts = [_FromVoxels(sequence) for sequence in SemanticKitti(root, sequences, labels)]
        self._places = [_Place(part, row) for part in parts for row in range(len(part.frames))]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> list[str]:
        """Names of the scenes, such as "08/000005"."""
        return [f"{part.name}/{part.frames[row]}" for part, row in self._places]

    def __getitem__(self, index: int) -> SceneExample:
        """Read one scene.

        Raises:
            IndexError: there is no such scene.
            SourceError, ImageError, OutputError: a file of it is damaged or gone; the cache cannot be written.
        """
        part, row = self._places[index]
        frame = part.frames[row]
        pair = part.source[part.rows[row]]
        truth = part.truth(row)
        rig = part.source.rig
        depth = semantics = None
        if part.scans is not None and frame in part.scans.frames:
            depth, semantics = project_scan(*part.scans.read(frame), rig.left, rig.left_from_grid)
        return SceneExample(
            f"{part.name}/{frame}",
            pair.left,
            pair.right,
            rig,
            BENCHMARK_GRID,
            truth.target,
            seen=truth.seen,
            depth=depth,
            semantics=semantics,
        )


class _Sequence(Protocol):
    """The scenes of one sequence: their names, their rows in `source`, and the scans, if there are any."""

    name: str
    source: FileSequence
    frames: Sequence[str]
    rows: Sequence[int]
    scans: LabelledScans | None

    def truth(self, index: int) -> CompletedScene: ...


class _Place(NamedTuple):
    part: _Sequence
    row: int


class _FromVoxels:
    """Truths that lie in the folder `voxels`."""

    def __init__(self, sequence: LabelledSequence) -> None:
        self.name, self.source = sequence.name, sequence.source
        self.frames, self.rows = sequence.frames, sequence.rows
        folder = sequence.voxels.parent
        labelled = (folder / "scans").is_dir() or ((folder / "velodyne").is_dir() and (folder / "labels").is_dir())
        self.scans = LabelledScans(folder) if labelled else None
        self._sequence = sequence

    def truth(self, index: int) -> CompletedScene:
        target = self._sequence.truth(index).labels
        path = self._sequence.voxels / f"{self.frames[index]}.occluded"
        occupied = (target != 0) & (target != UNKNOWN)
        if path.is_file():
            # the file counts what is occupied as hidden; what the own scan measured is not
            measured = path.with_suffix(".bin")
            surfaces = read_bits(measured) & occupied if measured.is_file() else occupied
            return CompletedScene(target, (~read_bits(path) & (target != UNKNOWN)) | surfaces)
        seen = visible_from(np.zeros(3), occupied, BENCHMARK_GRID, surfaces=True)
        return CompletedScene(target, seen & (target != UNKNOWN))


class _FromScans:
    """Truths that are completed from scans."""

    def __init__(self, folder: Path, rule: CompletionRule, cache: LabelCache | None, stride: int) -> None:
        self.name = folder.name
        if not folder.is_dir():
            raise SourceError(
                f"sequence {self.name} is missing",
                where=str(folder.parent),
                remedy="Extract it too, or give sequences that are there.",
            )
        self.scans: LabelledScans | None = LabelledScans(folder)
        self._scans = self.scans
        self.source = open_kitti_odometry(folder)
        self.frames: Sequence[str] = self._scans.frames[::stride]
        row_of = {frame: row for row, frame in enumerate(self.source.frames)}
        missing = [frame for frame in self.frames if frame not in row_of]
        if missing:
            raise SourceError(
                f"{len(missing)} of {len(self.frames)} labelled scans have no pictures: {missing_names(missing)}",
                where=str(folder),
                remedy="Extract the colour pictures of the KITTI odometry data set completely.",
            )
        self.rows: Sequence[int] = [row_of[frame] for frame in self.frames]
        self._rule, self._cache = rule, cache

    def truth(self, index: int) -> CompletedScene:
        frame = self.frames[index]
        merged = [frame] + [
            name
            for name in self._scans.near(frame, self._rule.reach)
            if name != frame and (self._rule.past or name > frame)
        ]

        def make() -> CompletedScene:
            own, *others = (self._posed(name, frame) for name in merged)
            return complete_scans(own, others, self._rule)

        if self._cache is None:
            return make()
        poses = [self._scans.relative_pose(name, frame).round(6).tolist() for name in merged]
        files = [self._scans.size_of(name) for name in merged]
        made_from = repr((self.name, merged, files, poses, self._rule, BENCHMARK_GRID))
        return self._cache.get(f"{self.name}_{frame}", made_from, make)

    def _posed(self, name: str, frame: str) -> PosedScan:
        return PosedScan(*self._scans.read(name), self._scans.relative_pose(name, frame))
