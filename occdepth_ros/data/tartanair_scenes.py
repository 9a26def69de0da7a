"""Scenes of SemanticTartanAir."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from occdepth_ros.classes import EMPTY, TARTANAIR, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.label_cache import LabelCache
from occdepth_ros.data.scan_completion import CompletedScene
from occdepth_ros.data.tartanair import TartanFrame, Trajectory, open_trajectories
from occdepth_ros.data.tartanair_voxels import TARTANAIR_GRID, fused_scene, visible_surface
from occdepth_ros.errors import SourceError

STRIDE = 5
"""Published scenes are every fifth frame."""
REACH = 12.0
"""Maximum distance of merged frames, metres; the length of the grid."""

GroundTruth = Literal["fused", "visible"]


class TartanScenes:
    """Scenes of SemanticTartanAir (a `SceneDataset`).

    Args:
        root: the folder with office, or that folder.
        trajectories: such as "Easy/P000", or names of splits, "train" and "val".
        ground truth: "fused" merges the frames of the trajectory, see `fused_scene`; "visible" is the published
        export, one
            frame's visible surface, see `visible_surface`.
        cache: folder for fused ground truth, which takes seconds each; None = computed every time.
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
            raise SourceError(f"a stride of {stride} frames is none", where="stride", remedy="Give 1 or more.")
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
            IndexError: there is no such scene.
            SourceError, ImageError, OutputError: a file of it is damaged or gone; the cache cannot be written.
        """
        part, frame = self._places[index]
        left, right = part.images(frame)
        own = part.read(frame)
        scene = self.ground_truth(part, frame, own)
        semantics = np.where(np.isfinite(own.depth), TARTANAIR.from_raw(own.ids), UNKNOWN)
        return SceneExample(
            f"{part.name}/{frame}",
            left,
            right,
            part.rig(frame),
            TARTANAIR_GRID,
            scene.target,
            seen=scene.seen,
            depth=own.depth,
            semantics=semantics.astype(np.uint8),
        )

    def ground_truth(self, part: Trajectory, frame: str, own: TartanFrame) -> CompletedScene:
        """Voxels of a frame."""

        def make() -> CompletedScene:
            return make_ground_truth(part, frame, own, self._ground_truth, self._reach, self._stride)

        if self._cache is None or self._ground_truth == "visible":
            return make()
        merged = near(part, frame, self._reach, self._stride)
        poses = [part.pose(name).round(6).tolist() for name in (frame, *merged)]
        made_from = repr((part.name, frame, merged, poses, TARTANAIR_GRID))
        return self._cache.get(f"{part.name}/{frame}".replace("/", "_"), made_from, make)


def make_ground_truth(
    part: Trajectory, frame: str, own: TartanFrame, ground_truth: GroundTruth, reach: float, stride: int
) -> CompletedScene:
    """Voxels of a frame on `TARTANAIR_GRID`; the arguments are those of `TartanScenes`.

    Raises:
        SourceError: a file of a merged frame is damaged.
    """
    if ground_truth == "visible":
        target = visible_surface(own)
        return CompletedScene(target, fused_scene(own, ()).seen | (target != EMPTY))
    return fused_scene(own, (part.read(name) for name in near(part, frame, reach, stride)))


def near(part: Trajectory, frame: str, reach: float, stride: int) -> list[str]:
    """Every `stride`-th frame, this one left out, whose camera is within `reach` metres of this one's."""
    here = part.pose(frame)[:3, 3]
    return [
        name
        for name in part.frames[::stride]
        if name != frame and np.linalg.norm(part.pose(name)[:3, 3] - here) <= reach
    ]
