"""Scenes of SemanticKITTI with voxels of the benchmark, derived voxels, or voxels completed from scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.data.earlier import EarlierView, PosedPair
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.label_cache import LabelCache
from occdepth_ros.data.scans.completion import CompletedScene, complete_scans
from occdepth_ros.data.scans.labelled import LabelledScans
from occdepth_ros.data.scans.projection import project_scan
from occdepth_ros.data.scans.voxelize import PosedScan, visible_from
from occdepth_ros.data.semantic_kitti.dataset import (
    OFFICIAL,
    LabelledSequence,
    SemanticKitti,
    expand_sequences,
    find_root,
)
from occdepth_ros.data.semantic_kitti.scan_options import DEFAULT_OPTIONS, ScanOptions
from occdepth_ros.errors import SourceError
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID, read_bits
from occdepth_ros.sources.images import missing_names
from occdepth_ros.sources.layouts.kitti_odometry import open_kitti_odometry
from occdepth_ros.sources.sequence import FileSequence

SCANS = "scans"
"""Name of the labels that are computed from the labelled scans of the sequence."""


class SemanticKittiScenes:
    """Scenes of SemanticKITTI (a `SceneDataset`).

    Depth and classes of the left image are projected from the labelled scan of the frame, if it exists.

    Args:
        root: folder `dataset`, or its parent.
        sequences: names of sequences or splits, see `expand_sequences`.
        labels: `OFFICIAL`, the name of a derived ground truth such as "recon10", or `SCANS`.
        cache: folder for ground truth of `SCANS`, computed in about 1 s per scene; None = no cache.
        scans: options of `SCANS`.
        past: offsets of earlier images of the left camera in frames, such as -3; these require `poses.txt`.

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
        scans: ScanOptions = DEFAULT_OPTIONS,
        past: Sequence[int] = (),
    ) -> None:
        self._past = tuple(past)
        parts: list[_Sequence]
        if labels == SCANS:
            folders = [find_root(root) / "sequences" / name for name in expand_sequences(sequences)]
            label_cache = None if cache is None else LabelCache(cache)
            parts = [_FromScans(folder, scans, label_cache) for folder in folders]
        else:
            parts = [_FromVoxels(sequence) for sequence in SemanticKitti(root, sequences, labels)]
        self._places = [
            _Place(part, row, variant)
            for part in parts
            for row in range(len(part.frames))
            for variant in range(part.variants)
        ]
        if not self._places:
            raise SourceError(
                f"no frame has {scans.later} later scans within reach",
                where=f"sequences {', '.join(sequences)}",
                remedy="Require fewer later scans.",
            )

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> list[str]:
        """Names of the scenes, such as "08/000005", and "08/000005-2" for its second moved grid."""
        return [place.name for place in self._places]

    def __getitem__(self, index: int) -> SceneExample:
        """Read one scene.

        Raises:
            IndexError: `index` is out of range.
            SourceError, ImageError: a file of the scene is damaged or missing.
            OutputError: the cache is not writable.
        """
        place = self._places[index]
        part, row, variant = place
        frame = part.frames[row]
        pair = part.source[part.rows[row]]
        ground_truth = part.ground_truth(row, variant)
        rig = part.source.rig
        depth = semantics = None
        if part.scans is not None and frame in part.scans.frames:
            depth, semantics = project_scan(*part.scans.read(frame), rig.left, rig.left_from_grid)
        earlier = self._earlier(part.source, part.rows[row]) if self._past else None
        variant_pose = part.variant_pose(row, variant)
        if variant:
            rig = replace(rig, reference_from_grid=rig.reference_from_grid @ variant_pose)
        now = pair.world_from_grid
        return SceneExample(
            place.name,
            pair.left,
            pair.right,
            rig,
            BENCHMARK_GRID,
            ground_truth.target,
            seen=ground_truth.seen,
            depth=depth,
            semantics=semantics,
            earlier=earlier,
            world_from_grid=None if now is None else now @ variant_pose,
            history=None if now is None else partial(pairs_before, part.source, part.rows[row], variant_pose),
        )

    def _earlier(self, source: FileSequence, row: int) -> dict[int, EarlierView]:
        now, out = source[row].world_from_grid, {}
        for offset in self._past:
            if row + offset < 0:
                continue
            then = source[row + offset]
            if now is None or then.world_from_grid is None:
                raise SourceError(
                    "the sequence has no poses, which earlier images require",
                    where=source.name,
                    remedy="Copy poses.txt of the odometry benchmark into the sequence's folder.",
                )
            out[offset] = EarlierView.of_poses(then.left, source.rig, now, then.world_from_grid)
        return out


def pairs_before(source: FileSequence, row: int, variant_pose: Matrix, count: int) -> list[PosedPair]:
    """Read up to `count` pairs directly before a row of a sequence, the oldest first.

    Args:
        source: a sequence with poses.
        row: index of the scene in `source`.
        variant_pose: pose of the scene's grid in the frame of the original grid, `[4, 4]`, metres.
        count: maximum number of pairs.
    """
    pairs = []
    for index in range(max(0, row - count), row):
        pair = source[index]
        if pair.world_from_grid is not None:
            pairs.append(PosedPair(pair.left, pair.right, pair.world_from_grid @ variant_pose))
    return pairs


class _Sequence(Protocol):
    """Scenes of one sequence: frames, their rows in `source`, the scans or None, and the number of variants."""

    name: str
    source: FileSequence
    frames: Sequence[str]
    rows: Sequence[int]
    scans: LabelledScans | None
    variants: int

    def ground_truth(self, index: int, variant: int) -> CompletedScene: ...

    def variant_pose(self, index: int, variant: int) -> npt.NDArray[np.float64]:
        """Return the pose of the grid of a variant in the original grid's frame, `[4, 4]`, metres."""


class _Place(NamedTuple):
    part: _Sequence
    row: int
    variant: int

    @property
    def name(self) -> str:
        """Name of the scene."""
        name = f"{self.part.name}/{self.part.frames[self.row]}"
        return f"{name}-{self.variant}" if self.variant else name


class _FromVoxels:
    """Scenes with ground truth from the folder `voxels`."""

    variants = 1

    def __init__(self, sequence: LabelledSequence) -> None:
        self.name, self.source = sequence.name, sequence.source
        self.frames, self.rows = sequence.frames, sequence.rows
        folder = sequence.voxels.parent
        labelled = (folder / "scans").is_dir() or ((folder / "velodyne").is_dir() and (folder / "labels").is_dir())
        self.scans = LabelledScans(folder) if labelled else None
        self._sequence = sequence

    def variant_pose(self, index: int, variant: int) -> npt.NDArray[np.float64]:
        return np.eye(4)

    def ground_truth(self, index: int, variant: int) -> CompletedScene:
        target = self._sequence.ground_truth(index).labels
        path = self._sequence.voxels / f"{self.frames[index]}.occluded"
        occupied = (target != 0) & (target != UNKNOWN)
        if path.is_file():
            # The file marks all occupied voxels as hidden; voxels of the frame's scan are visible.
            scanned = path.with_suffix(".bin")
            surfaces = read_bits(scanned) & occupied if scanned.is_file() else occupied
            return CompletedScene(target, (~read_bits(path) & (target != UNKNOWN)) | surfaces)
        seen = visible_from(np.zeros(3), occupied, BENCHMARK_GRID, surfaces=True)
        return CompletedScene(target, seen & (target != UNKNOWN))


class _FromScans:
    """Scenes with ground truth computed from scans."""

    def __init__(self, folder: Path, options: ScanOptions, cache: LabelCache | None) -> None:
        self.name = folder.name
        if not folder.is_dir():
            raise SourceError(
                f"sequence {self.name} is missing",
                where=str(folder.parent),
                remedy="Extract the sequence, or give sequences that are present.",
            )
        self.scans: LabelledScans | None = LabelledScans(folder)
        self._scans = self.scans
        self.source = open_kitti_odometry(folder)
        self._rule, self._options, self._cache = options.rule, options, cache
        self.variants = options.variants
        self.frames: Sequence[str] = [
            frame
            for frame in self._scans.frames[:: options.stride]
            if sum(name > frame for name in self._scans.near(frame, self._rule.reach)) >= options.later
        ]
        row_of = {frame: row for row, frame in enumerate(self.source.frames)}
        missing = [frame for frame in self.frames if frame not in row_of]
        if missing:
            raise SourceError(
                f"{len(missing)} of {len(self.frames)} labelled scans have no images: {missing_names(missing)}",
                where=str(folder),
                remedy="Extract the colour images of the KITTI odometry data set completely.",
            )
        self.rows: Sequence[int] = [row_of[frame] for frame in self.frames]

    def variant_pose(self, index: int, variant: int) -> npt.NDArray[np.float64]:
        seed = [self._options.seed, *self.name.encode(), int(self.frames[index]), variant]
        return self._options.motion.pose(np.random.default_rng(seed)) if variant else np.eye(4)

    def ground_truth(self, index: int, variant: int) -> CompletedScene:
        frame = self.frames[index]
        merged = [frame] + [
            name
            for name in self._scans.near(frame, self._rule.reach)
            if name != frame and (self._rule.past or name > frame)
        ]

        from_grid = self.variant_pose(index, variant)
        poses = [np.linalg.inv(from_grid) @ self._scans.relative_pose(name, frame) for name in merged]

        def make() -> CompletedScene:
            own, *others = (PosedScan(*self._scans.read(name), pose) for name, pose in zip(merged, poses, strict=True))
            return complete_scans(own, others, self._rule, floor=not variant)

        if self._cache is None:
            return make()
        files = [self._scans.size_of(name) for name in merged]
        rounded = [pose.round(6).tolist() for pose in poses]
        made_from = repr((self.name, merged, files, rounded, self._rule, BENCHMARK_GRID, variant > 0))
        name = f"{self.name}_{frame}" + (f"-{variant}" if variant else "")
        return self._cache.get(name, made_from, make)
