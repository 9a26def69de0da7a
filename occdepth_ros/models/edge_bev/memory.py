"""Memory: surfaces that earlier pairs of a drive showed, for the lifted voxels that the present pair does not see."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import Matrix
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import FINE, GROUND_CLASSES, LIFT, STANDING_CLASSES, LiftedState
from occdepth_ros.models.edge_bev.evidence import Measurement, folded_index
from occdepth_ros.models.edge_bev.tables import BevTables

KEYFRAMES = 8
"""Earlier pairs that are remembered; bounds time and memory."""
KEYFRAME_M = 1.0
"""Distance between the pairs that are remembered, metres."""
JUMP_M = 10.0
"""Larger motion between two pairs is a jump of the pose: the memory is cleared."""
MOVABLE = (1, 2, 3, 4, 5, 6, 7, 8)
"""Class ids that may have moved since: vehicles and people are not remembered."""
GROUND = len(STANDING_CLASSES)
KINDS = GROUND + 1
CHANNELS = FINE + 3 + KINDS
"""Channels of a remembered lifted voxel: hits of its eight voxels, all hits, nearest distance from which it was seen,
age of its latest hit, and share of each standing class and of the ground classes."""
COLUMN_CHANNELS = len(GROUND_CLASSES) + 1
"""Channels of a lifted column: share of each ground class, and 1 where there is one."""
RANGE_M = 50.0
"""Distance at which its channel is 1, metres."""


@dataclass(frozen=True)
class Recall:
    """What is remembered about the present grid.

    Args:
        rows: flat indices of lifted voxels, `[K]` int64, ascending.
        features: `[K, CHANNELS]` float32.
        columns: `[X/2, Y/2, COLUMN_CHANNELS]` float32.
    """

    rows: torch.Tensor
    features: torch.Tensor
    columns: torch.Tensor

    @classmethod
    def empty(cls, size: tuple[int, int, int]) -> Recall:
        """Nothing; `size` in lifted voxels."""
        none = torch.zeros(0, dtype=torch.long)
        return cls(none, torch.zeros(0, CHANNELS), torch.zeros(*size[:2], COLUMN_CHANNELS))

    def to(self, device: torch.device | str) -> Recall:
        """The same on another device."""
        return Recall(self.rows.to(device), self.features.to(device), self.columns.to(device))


@dataclass(frozen=True)
class _Keyframe:
    """Occupied voxels of one pair: centres in the fixed frame `[P, 3]` float32 relative to `origin`, class ids `[P]`,
    distance from the camera over `RANGE_M` `[P]`, and the camera's position."""

    origin: npt.NDArray[np.float64]
    points: npt.NDArray[np.float32]
    classes: npt.NDArray[np.uint8]
    distance: npt.NDArray[np.float32]


_KIND = np.full(256, GROUND, np.intp)
_KIND[list(STANDING_CLASSES)] = np.arange(GROUND)
_LAYOUT = np.full(256, -1, np.intp)
_LAYOUT[list(GROUND_CLASSES)] = np.arange(len(GROUND_CLASSES))


class SceneMemory:
    """Occupied voxels of the last pairs of one drive in a fixed frame.

    Args:
        grid: voxels of the prediction.
    """

    def __init__(self, grid: VoxelGrid) -> None:
        self.grid = grid
        self._keyframes: deque[_Keyframe] = deque(maxlen=KEYFRAMES)
        self._last: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Return the number of remembered pairs."""
        return len(self._keyframes)

    def clear(self) -> None:
        """Forget all pairs."""
        self._keyframes.clear()
        self._last = None

    def move(self, world_from_grid: Matrix) -> None:
        """Announce the pose of the next pair; a jump clears the memory."""
        position = world_from_grid[:3, 3]
        if self._last is not None and np.linalg.norm(position - self._last) > JUMP_M:
            self.clear()
        self._last = position.copy()

    def add(self, world_from_grid: Matrix, measured: Measurement, tables: BevTables, pixel_class: torch.Tensor) -> None:
        """Remember a pair that lies at least `KEYFRAME_M` from the latest one.

        Args:
            world_from_grid: pose of the grid's frame in the fixed frame, `[4, 4]`.
            measured: result of matching.
            tables: of the calibration.
            pixel_class: class id of each cell of the image network's maps, 0 = sky, `[h w]`.
        """
        origin = world_from_grid[:3, 3]
        if self._keyframes and np.linalg.norm(origin - self._keyframes[-1].origin) < KEYFRAME_M:
            return
        row = tables.row_of[folded_index(measured.occupied, tables.size) // FINE]
        voxel, row = measured.occupied[row >= 0], row[row >= 0]
        chosen = torch.from_numpy(row)
        classes = pixel_class.index_select(0, tables.cell.index_select(0, chosen)).to(torch.uint8).numpy()
        kept = (classes > 0) & ~np.isin(classes, MOVABLE)
        index = np.stack(np.unravel_index(voxel[kept], self.grid.size), 1)
        centres = (index + 0.5) * self.grid.resolution + self.grid.origin
        distance = np.asarray(tables.centre_depth.index_select(0, chosen).numpy()[kept] / RANGE_M, np.float32)
        points = (centres @ world_from_grid[:3, :3].T).astype(np.float32)
        self._keyframes.append(_Keyframe(origin.copy(), points, classes[kept], distance))

    def recall(self, world_from_grid: Matrix, state: npt.NDArray[np.uint8]) -> Recall:
        """What is remembered about lifted voxels that are out of view or far behind a surface.

        Args:
            world_from_grid: present pose of the grid's frame in the fixed frame, `[4, 4]`.
            state: `LiftedState` of every lifted voxel, `[N]`.
        """
        size = tuple(n // LIFT for n in self.grid.size)
        if not self._keyframes:
            return Recall.empty((size[0], size[1], size[2]))
        rotation = (world_from_grid[:3, :3] / self.grid.resolution).astype(np.float32)
        parts = []
        for back, frame in enumerate(reversed(self._keyframes)):
            offset = (frame.origin - world_from_grid[:3, 3]) @ world_from_grid[:3, :3] - self.grid.origin
            index = frame.points @ rotation + (offset / self.grid.resolution).astype(np.float32)
            inside = ((index >= 0) & (index < self.grid.size)).all(1)
            parts.append((index[inside].astype(np.int32), frame.classes[inside], frame.distance[inside], back))
        index = np.concatenate([part[0] for part in parts])
        classes = np.concatenate([part[1] for part in parts])
        distance = np.concatenate([part[2] for part in parts])
        age = np.concatenate([np.full(len(part[1]), part[3] / KEYFRAMES, np.float32) for part in parts])
        voxel = np.ravel_multi_index(tuple(index.T), self.grid.size)
        lifted, fine = np.divmod(folded_index(voxel, (size[0], size[1], size[2])), FINE)
        columns = self._columns(lifted // size[2], classes, (size[0], size[1]))
        hidden = (state[lifted] == LiftedState.OUT_OF_VIEW) | (state[lifted] == LiftedState.BEHIND)
        lifted, fine, classes, distance, age = (v[hidden] for v in (lifted, fine, classes, distance, age))
        marked = np.zeros(size[0] * size[1] * size[2], bool)
        marked[lifted] = True
        rows = np.flatnonzero(marked)
        at = np.cumsum(marked)[lifted] - 1
        hits = np.bincount(at * FINE + fine, minlength=FINE * len(rows)).reshape(-1, FINE)
        total = hits.sum(1)
        features = np.zeros((len(rows), CHANNELS), np.float32)
        features[:, :FINE] = np.minimum(hits / 2, 1)
        features[:, FINE] = np.minimum(total / 8, 1)
        for channel, values in ((FINE + 1, distance), (FINE + 2, age)):
            nearest = np.full(len(rows), 2, np.float32)
            np.minimum.at(nearest, at, values)
            features[:, channel] = nearest
        votes = np.bincount(at * KINDS + _KIND[classes], minlength=KINDS * len(rows)).reshape(-1, KINDS)
        features[:, FINE + 3 :] = votes / np.maximum(total, 1)[:, None]
        return Recall(torch.from_numpy(rows), torch.from_numpy(features), torch.from_numpy(columns))

    @staticmethod
    def _columns(
        column: npt.NDArray[np.intp], classes: npt.NDArray[np.uint8], size: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        layout = _LAYOUT[classes]
        ground = layout >= 0
        kinds = len(GROUND_CLASSES)
        votes = np.bincount(column[ground] * kinds + layout[ground], minlength=size[0] * size[1] * kinds)
        votes = votes.reshape(*size, kinds)
        total = votes.sum(2, keepdims=True)
        return np.concatenate([votes / np.maximum(total, 1), total > 0], 2).astype(np.float32)
