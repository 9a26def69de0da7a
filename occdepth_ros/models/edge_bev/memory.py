"""Memory of surfaces from earlier pairs of a drive, for lifted voxels that are not visible in the present pair."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import Matrix
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import FINE, GROUND, GROUND_CLASSES, KINDS, LIFT, STANDING_CLASSES, LiftedState
from occdepth_ros.models.edge_bev.evidence import Measurement
from occdepth_ros.models.edge_bev.tables import BevTables

KEYFRAMES = 8
"""Number of remembered pairs; limits time and memory."""
KEYFRAME_M = 1.0
"""Minimum distance between remembered pairs, metres."""
JUMP_M = 10.0
"""Motion between two pairs above which the pose has jumped and the memory is cleared, metres."""
MOVABLE = (1, 2, 3, 4, 5, 6, 7, 8)
"""Class ids of movable objects (vehicles and people), which are not remembered."""
CHANNELS = FINE + 3 + KINDS
"""Channels of a remembered lifted voxel: hits of its eight voxels, all hits, nearest distance from which it was seen,
age of its latest hit, and share of each standing class and of the ground classes."""
COLUMN_CHANNELS = len(GROUND_CLASSES) + 1
"""Number of channels of a lifted column: share of each ground class, and 1 if there is a ground class."""
RANGE_M = 50.0
"""Distance at which its channel is 1, metres."""


@dataclass(frozen=True)
class MemoryContent:
    """Remembered content of the present grid.

    Args:
        rows: flat indices of lifted voxels, `[K]` int64, ascending.
        features: `[K, CHANNELS]` float32.
        columns: `[X/2, Y/2, COLUMN_CHANNELS]` float32.
    """

    rows: torch.Tensor
    features: torch.Tensor
    columns: torch.Tensor

    @classmethod
    def empty(cls, size: tuple[int, int, int]) -> MemoryContent:
        """Return an empty memory; `size` in lifted voxels."""
        none = torch.zeros(0, dtype=torch.long)
        return cls(none, torch.zeros(0, CHANNELS), torch.zeros(*size[:2], COLUMN_CHANNELS))

    def to(self, device: torch.device | str) -> MemoryContent:
        """Return a copy on another device."""
        return MemoryContent(self.rows.to(device), self.features.to(device), self.columns.to(device))


@dataclass(frozen=True)
class _Keyframe:
    """Occupied voxels of one pair: centres in the fixed frame `[P, 3]` float32 relative to `origin`, class ids `[P]`,
    distance from the camera over `RANGE_M` `[P]`, and the camera's position."""

    origin: npt.NDArray[np.float64]
    points: npt.NDArray[np.float32]
    classes: npt.NDArray[np.uint8]
    distance: npt.NDArray[np.float32]

    @cached_property
    def by_axis(self) -> npt.NDArray[np.float32]:
        """The points as `[3, P]`, contiguous."""
        return np.ascontiguousarray(self.points.T)


def _by_class(value: Callable[[int], int]) -> npt.NDArray[np.int32]:
    return np.array([value(class_id) for class_id in range(256)], np.int32)


_KIND = _by_class(lambda c: STANDING_CLASSES.index(c) if c in STANDING_CLASSES else GROUND)
_LAYOUT = _by_class(lambda c: GROUND_CLASSES.index(c) if c in GROUND_CLASSES else len(GROUND_CLASSES))
"""Index by class id: of the ground class, or the number of ground classes for all other classes."""
_KEPT = _by_class(lambda c: c > 0 and c not in MOVABLE).astype(bool)


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
        """Clear all pairs."""
        self._keyframes.clear()
        self._last = None

    def move(self, world_from_grid: Matrix) -> None:
        """Set the pose of the next pair, `[4, 4]`; a jump of more than `JUMP_M` clears the memory."""
        position = world_from_grid[:3, 3]
        if self._last is not None and np.linalg.norm(position - self._last) > JUMP_M:
            self.clear()
        self._last = position.copy()

    def add(self, world_from_grid: Matrix, measured: Measurement, tables: BevTables, pixel_class: torch.Tensor) -> None:
        """Store a pair at a distance of at least `KEYFRAME_M` from the latest one.

        Args:
            world_from_grid: pose of the grid's frame in the fixed frame, `[4, 4]`.
            measured: result of matching.
            tables: tables of the calibration.
            pixel_class: class id of each cell of the image network's maps, 0 = sky, `[h w]`.
        """
        origin = world_from_grid[:3, 3]
        if self._keyframes and np.linalg.norm(origin - self._keyframes[-1].origin) < KEYFRAME_M:
            return
        _, layers_y, layers_z = self.grid.size
        xy, z = np.divmod(measured.occupied.astype(np.int32), np.int32(layers_z))
        x, y = np.divmod(xy, np.int32(layers_y))
        row = tables.row_of[((x >> 1) * tables.size[1] + (y >> 1)) * tables.size[2] + (z >> 1)]
        chosen = torch.from_numpy(row.clip(0))
        classes = pixel_class.index_select(0, tables.cell.index_select(0, chosen)).to(torch.uint8).numpy()
        kept = np.flatnonzero((row >= 0) & _KEPT[classes])
        centres = (np.stack([x[kept], y[kept], z[kept]]) + 0.5) * self.grid.resolution
        points = (world_from_grid[:3, :3] @ (centres + np.array(self.grid.origin)[:, None])).astype(np.float32)
        distance = np.asarray(tables.centre_depth.index_select(0, chosen).numpy()[kept] / RANGE_M, np.float32)
        self._keyframes.append(_Keyframe(origin.copy(), points.T, classes[kept], distance))

    def read(self, world_from_grid: Matrix, state: npt.NDArray[np.uint8]) -> MemoryContent:
        """Return the remembered content of lifted voxels that are out of view or far behind a surface.

        Args:
            world_from_grid: present pose of the grid's frame in the fixed frame, `[4, 4]`.
            state: `LiftedState` of every lifted voxel, `[N]`.
        """
        x, y, z = (n // LIFT for n in self.grid.size)
        if not self._keyframes:
            return MemoryContent.empty((x, y, z))
        hidden = (state == LiftedState.OUT_OF_VIEW) | (state == LiftedState.BEHIND)
        grid_from_world = world_from_grid[:3, :3].T / self.grid.resolution
        kinds = len(GROUND_CLASSES) + 1
        layout: list[npt.NDArray[np.int32]] = []
        parts: list[tuple[npt.NDArray[Any], ...]] = []
        # oldest first, so that the latest age is written last
        for age, frame in zip(range(len(self._keyframes) - 1, -1, -1), self._keyframes, strict=True):
            offset = grid_from_world @ (frame.origin - world_from_grid[:3, 3])
            offset -= np.array(self.grid.origin) / self.grid.resolution
            place = grid_from_world.astype(np.float32) @ frame.by_axis
            place += offset.astype(np.float32)[:, None]
            inside = np.flatnonzero(_inside(place, self.grid.size))
            i, j, k = place.take(inside, 1).astype(np.int32)
            classes = frame.classes[inside]
            column = (i >> 1) * y + (j >> 1)
            layout.append(column * kinds + _LAYOUT[classes])
            lifted = column * z + (k >> 1)
            shown = np.flatnonzero(hidden[lifted])
            fine = (((i & 1) * LIFT + (j & 1)) * LIFT + (k & 1))[shown]
            kind = _KIND[classes[shown]]
            parts.append((lifted[shown], fine, kind, frame.distance[inside[shown]], np.full(len(shown), age, np.int32)))
        lifted, fine, kind, distance, ages = (np.concatenate(part) for part in zip(*parts, strict=True))
        marked = np.zeros(len(state), bool)
        marked[lifted] = True
        rows = np.flatnonzero(marked)
        row_of = np.empty(len(state), np.int32)
        row_of[rows] = np.arange(len(rows), dtype=np.int32)
        at = row_of[lifted]
        hits = np.bincount(at * FINE + fine, minlength=FINE * len(rows)).reshape(-1, FINE)
        total = hits.sum(1)
        features = np.zeros((len(rows), CHANNELS), np.float32)
        features[:, :FINE] = np.minimum(hits / 2, 1)
        features[:, FINE] = np.minimum(total / 8, 1)
        nearest = np.full(len(rows), 2, np.float32)
        np.minimum.at(nearest, at, distance)
        features[:, FINE + 1] = nearest
        latest = np.empty(len(rows), np.float32)
        latest[at] = ages
        features[:, FINE + 2] = latest / KEYFRAMES
        votes = np.bincount(at * KINDS + kind, minlength=KINDS * len(rows)).reshape(-1, KINDS)
        features[:, FINE + 3 :] = votes / total[:, None]
        columns = _shares(np.bincount(np.concatenate(layout), minlength=x * y * kinds).reshape(x, y, kinds)[..., :-1])
        return MemoryContent(torch.from_numpy(rows), torch.from_numpy(features), torch.from_numpy(columns))


def _inside(place: npt.NDArray[np.float32], size: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Return whether points `[3, P]`, voxel edges from the grid's corner, lie in a grid of `size` voxels, `[P]`."""
    inside = place[0] >= 0
    for axis in range(3):
        inside &= place[axis] >= 0
        inside &= place[axis] < size[axis]
    return np.asarray(inside)


def _shares(votes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the share of each ground class, and 1 if there is a ground class, from votes `[X/2, Y/2, classes]`."""
    total = votes.sum(2, keepdims=True)
    return np.concatenate([votes / np.maximum(total, 1), total > 0], 2).astype(np.float32)
