"""Scenes of SemanticTartanAir."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from occdepth_ros.classes import EMPTY, TARTANAIR, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.label_cache import LabelCache
from occdepth_ros.data.scans.completion import CompletedScene
from occdepth_ros.data.tartanair.dataset import TartanFrame, Trajectory, open_trajectories
from occdepth_ros.data.tartanair.voxels import TARTANAIR_GRID, fused_scene, visible_surface
from occdepth_ros.errors import SourceError

STRIDE = 5
"""Distance between published scenes, in frames."""
REACH = 12.0
"""Maximum distance of merged frames, metres, equal to the length of the grid."""

GroundTruth = Literal["fused", "visible"]


class TartanScenes:
    """Scenes of SemanticTartanAir (a `SceneDataset`).

    Args:
        root: folder "office", or its parent.
        trajectories: names such as "Easy/P000", or of the splits "train" and "val".
        ground_truth: "fused" = merged from the frames of the trajectory, see `fused_scene`; "visible" = the published
            export with the visible surface of one frame, see `visible_surface`.
        cache: folder for fused ground truth, computed in seconds per scene; None = no cache.
        reach: maximum distance of merged frames, metres.
        stride: distance between scenes, and between merged frames, in frames.

    Raises:
        SourceError, CalibrationError: a trajectory is missing or incomplete.
    """

    def __init__(
        self,
        root: Path,
        trajectories: Sequence[str] = ("val",),
        *,
        ground_truth: GroundTruth = "fused",
        cache: Path | None = None,
        reach: float = REACH,
        stride: int = STRIDE,
    ) -> None:
        if stride < 1:
            raise SourceError(f"a stride of {stride} frames is too small", where="stride", remedy="Give 1 or more.")
        self._ground_truth, self._reach, self._stride = ground_truth, reach, stride
        self._cache = None if cache is None else LabelCache(cache)
        parts = open_trajectories(root, trajectories)
        self._places = [(part, frame) for part in parts for frame in part.frames[::stride]]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> list[str]:
        """Names of the scenes, such as "Easy/P005/000010"."""
        return [f"{part.name}/{frame}" for part, frame in self._places]

    def __getitem__(self, index: int) -> SceneExample:
        """Read one scene.

        Raises:
            IndexError: `index` is out of range.
            SourceError, ImageError: a file of the scene is damaged or missing.
            OutputError: the cache is not writable.
        """
        part, frame = self._places[index]
        left, right = part.images(frame)
        reference = part.read(frame)
        scene = self.ground_truth(part, frame, reference)
        semantics = np.where(np.isfinite(reference.depth), TARTANAIR.from_raw(reference.ids), UNKNOWN)
        return SceneExample(
            f"{part.name}/{frame}",
            left,
            right,
            part.rig(frame),
            TARTANAIR_GRID,
            scene.target,
            seen=scene.seen,
            depth=reference.depth,
            semantics=semantics.astype(np.uint8),
        )

    def ground_truth(self, part: Trajectory, frame: str, reference: TartanFrame) -> CompletedScene:
        """Return the voxels of a frame, from the cache if possible."""

        def make() -> CompletedScene:
            return make_ground_truth(part, frame, reference, self._ground_truth, self._reach, self._stride)

        if self._cache is None or self._ground_truth == "visible":
            return make()
        merged = near(part, frame, self._reach, self._stride)
        poses = [part.pose(name).round(6).tolist() for name in (frame, *merged)]
        made_from = repr((part.name, frame, merged, poses, TARTANAIR_GRID))
        return self._cache.get(f"{part.name}/{frame}".replace("/", "_"), made_from, make)


def make_ground_truth(
    part: Trajectory, frame: str, reference: TartanFrame, ground_truth: GroundTruth, reach: float, stride: int
) -> CompletedScene:
    """Compute the voxels of a frame on `TARTANAIR_GRID`. Arguments are those of `TartanScenes`.

    Raises:
        SourceError: a file of a merged frame is damaged.
    """
    if ground_truth == "visible":
        target = visible_surface(reference)
        return CompletedScene(target, fused_scene(reference, ()).seen | (target != EMPTY))
    return fused_scene(reference, (part.read(name) for name in near(part, frame, reach, stride)))


def near(part: Trajectory, frame: str, reach: float, stride: int) -> list[str]:
    """Return every `stride`-th frame within `reach` metres of the camera of `frame`, without `frame` itself."""
    here = part.pose(frame)[:3, 3]
    return [
        name
        for name in part.frames[::stride]
        if name != frame and np.linalg.norm(part.pose(name)[:3, 3] - here) <= reach
    ]
