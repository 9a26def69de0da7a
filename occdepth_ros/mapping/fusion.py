"""Fusion of predictions into a map in a fixed frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import SEMANTIC_KITTI, ClassTable
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.mapping import codes as code
from occdepth_ros.mapping.config import BLOCK, MapConfig
from occdepth_ros.mapping.evidence import Evidence, tick_of
from occdepth_ros.mapping.reanchoring import moved
from occdepth_ros.mapping.sliding import fill, packed_blocks, slide
from occdepth_ros.mapping.state import Lattice, MapState
from occdepth_ros.mapping.store import BlockStore, Key
from occdepth_ros.prediction import OccupancyPrediction

REANCHORED = "re-anchored"
"""First word of an event after which the map was kept; all other events are reasons for a reset."""


class OccupancyMap:
    """A rolling window of voxels around the vehicle, and a store of the blocks that have left it.

    Seen and completed evidence are stored separately: in voxels with seen evidence, completed evidence has no
    influence. Voxels of dynamic classes become unknown `dynamic_s` seconds after their last observation, completed
    voxels fade within about `completed_s` seconds, seen static voxels stay until they are seen free.

    Args:
        config: sizes, rates and limits.
        classes: class table of the labels.
    """

    def __init__(self, config: MapConfig | None = None, classes: ClassTable = SEMANTIC_KITTI) -> None:
        self.config = config or MapConfig()
        self.classes = classes
        self._evidence = Evidence(self.config, classes)
        self.events: list[str] = []
        self.reset()

    def reset(self, reason: str = "") -> None:
        """Clear the map; a reason is appended to `events`."""
        self.state: MapState | None = None
        self.store = BlockStore(self.config.max_bytes - self.config.window_bytes)
        self.stamp_ns: int | None = None
        self._pose: npt.NDArray[np.float64] | None = None
        self._evidence.restart()
        if reason:
            self.events.append(reason)

    @property
    def nbytes(self) -> int:
        """Memory of window and store, bytes; at most `MapConfig.max_bytes`."""
        return (0 if self.state is None else self.state.nbytes) + self.store.nbytes

    def integrate(self, prediction: OccupancyPrediction, map_from_grid: npt.NDArray[np.float64]) -> None:
        """Fuse one prediction.

        Args:
            prediction: prediction on a grid of the map's resolution.
            map_from_grid: pose of the grid's frame in the map's frame at the time of the images, `[4, 4]`.

        Raises:
            GridError: the resolution differs, or the pose is not a rigid transform.
        """
        grid = prediction.grid
        self._check(grid, map_from_grid)
        if self._pose is None and (self.stamp_ns or 0) > prediction.stamp_ns:
            self.stamp_ns = None  # a loaded map of a later time, whose voxels would not age before that time
        self._watch_for_jumps(map_from_grid, prediction.stamp_ns)
        state = self._follow(grid, map_from_grid)
        elapsed = (prediction.stamp_ns - self.stamp_ns) / 1e9 if self.stamp_ns else 0.0
        self.stamp_ns = max(prediction.stamp_ns, self.stamp_ns or 0)
        now = tick_of(self.stamp_ns)
        self._evidence.fade(state, max(elapsed, 0.0), now)
        self._evidence.add(state, code.encode(prediction), grid, map_from_grid, now)
        self._pose = map_from_grid.copy()

    def window(self) -> VoxelGrid | None:
        """Return the grid of the window in the map's frame, None before the first prediction."""
        if self.state is None:
            return None
        return self._grid_of(self.state.low, self.state.size)

    def snapshot(self, low: Lattice | None = None, size: Lattice | None = None) -> OccupancyPrediction | None:
        """Return the map as a prediction, which every encoder of `occdepth_ros.outputs` takes.

        Visibility is SEEN in voxels with seen evidence, HIDDEN in voxels with completed evidence only, OUTSIDE in
        unknown voxels.

        Args:
            low: lattice index of the lowest voxel of a part; None takes the smallest box of blocks with all evidence.
            size: voxels of the part, which must lie inside the window.

        Returns:
            None before the first prediction.
        """
        if self.state is None:
            return None
        if low is None or size is None:
            low, size = self.state.extent()
        return self._prediction(self.state, low, size)

    def _prediction(self, state: MapState, low: Lattice, size: Lattice) -> OccupancyPrediction:
        labels, confidence, visibility = self._evidence.read(state, low, size, tick_of(self.stamp_ns or 0))
        return OccupancyPrediction(
            self._grid_of(low, size),
            labels,
            confidence,
            visibility,
            np.full((1, 1), np.nan, np.float32),
            stamp_ns=self.stamp_ns or 0,
            model="map",
            classes=self.classes,
        )

    def clear_box(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> None:
        """Make every voxel of the window and the store whose centre lies in a box unknown.

        Args:
            low, high: corners of the box in the map's frame, metres; any order.
        """
        first = np.ceil(np.minimum(low, high) / np.float64(self.config.resolution) - 0.5).astype(np.int64)
        last = np.floor(np.maximum(low, high) / np.float64(self.config.resolution) - 0.5).astype(np.int64)
        if self.state is not None:
            self.state.clear(first, last)
        for key in list(self.store.keys()):
            start = np.array(key) * BLOCK
            if (start <= last).all() and (start + BLOCK > first).all():
                payload = self.store.get(key)
                assert payload is not None
                block = MapState.of_size((BLOCK, BLOCK, BLOCK), (int(start[0]), int(start[1]), int(start[2])))
                fill(block, {key: payload})
                block.clear(first, last)
                self.store.replace(key, packed_blocks(block).get(key, b""))

    def blocks(self) -> dict[Key, bytes]:
        """Return all blocks with evidence, of the window and of the store, packed."""
        stored = dict(self.store.items())
        return stored if self.state is None else stored | packed_blocks(self.state)

    def replace_blocks(self, blocks: dict[Key, bytes], stamp_ns: int) -> None:
        """Replace the content of the map by these packed blocks; the next prediction fills the window from them."""
        self.reset()
        for key, payload in blocks.items():
            self.store.put(key, payload)
        self.stamp_ns = stamp_ns

    def whole(self) -> OccupancyPrediction:
        """Return the whole map, stored blocks included, as a prediction on the box that holds all blocks.

        Raises:
            GridError: the map is empty, or its box is too large for a dense grid.
        """
        blocks = self.blocks()
        if not blocks:
            raise GridError("the map is empty", where="map", remedy="Fuse a prediction first.")
        keys = np.array(list(blocks))
        low, high = keys.min(axis=0), keys.max(axis=0) + 1
        first, size = (low * BLOCK).tolist(), ((high - low) * BLOCK).tolist()
        self._grid_of((first[0], first[1], first[2]), (size[0], size[1], size[2]))  # raises if the box is too large
        everything = MapState.of_size((size[0], size[1], size[2]), (first[0], first[1], first[2]))
        fill(everything, blocks)
        return self._prediction(everything, everything.low, everything.size)

    def part(
        self, blocks: dict[Key, bytes], grid: VoxelGrid, map_from_grid: npt.NDArray[np.float64]
    ) -> OccupancyPrediction:
        """Return the part of the whole map, stored blocks included, that covers a grid at any pose.

        Args:
            blocks: result of `blocks()`, which takes longer than one part.
            grid: the voxels to cover, in their own frame.
            map_from_grid: pose of that frame in the map's frame, `[4, 4]`.
        """
        corners = np.array(list(np.ndindex(2, 2, 2))) * grid.extent + grid.origin
        edge = BLOCK * self.config.resolution
        placed = (corners @ map_from_grid[:3, :3].T + map_from_grid[:3, 3]) / edge
        low, high = np.floor(placed.min(axis=0)).astype(int), np.ceil(placed.max(axis=0)).astype(int)
        first, size = (low * BLOCK).tolist(), ((high - low) * BLOCK).tolist()
        state = MapState.of_size((size[0], size[1], size[2]), (first[0], first[1], first[2]))
        fill(state, {key: blocks[key] for key in state.block_keys() if key in blocks})
        return self._prediction(state, state.low, state.size)

    def _grid_of(self, low: Lattice, size: Lattice) -> VoxelGrid:
        x, y, z = (n * self.config.resolution for n in low)
        return VoxelGrid((x, y, z), size, self.config.resolution, "map")

    def _check(self, grid: VoxelGrid, pose: npt.NDArray[np.float64]) -> None:
        if abs(grid.resolution - self.config.resolution) > 1e-6:
            raise GridError(
                f"the map fuses voxels of {self.config.resolution:g} m, not of {grid.resolution:g} m",
                where="map",
                remedy="Set the resolution of the map to that of the grid.",
            )
        rotation = pose[:3, :3]
        if not np.isfinite(pose).all() or np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3:
            raise GridError(
                "the pose is not a rotation with a translation", where="map", remedy="Check the source of the pose."
            )

    def _watch_for_jumps(self, pose: npt.NDArray[np.float64], stamp_ns: int) -> None:
        if self._pose is None or self.stamp_ns is None:
            return
        behind = (self.stamp_ns - stamp_ns) / 1e9
        if behind > self.config.max_stamp_step_back:
            self.reset(f"stamps went back by {behind:.1f} s")
            return
        step = float(np.linalg.norm(pose[:3, 3] - self._pose[:3, 3]))
        allowed = self.config.max_step * max(1.0, -behind / 0.1)
        if step > allowed:
            text = f"the pose jumped by {step:.1f} m"
            if not self._reanchor(pose, text):
                self.reset(text)

    def _reanchor(self, pose: npt.NDArray[np.float64], text: str) -> bool:
        """Move the window with the vehicle, as if it had not moved during the jump; return False if not configured."""
        config = self.config
        if config.on_jump != "reanchor" or self.state is None or 2 * config.window_bytes > config.max_bytes:
            return False
        assert self._pose is not None
        self.store.clear()
        new_from_old = pose @ np.linalg.inv(self._pose)
        middle = (np.array(self.state.low) + np.array(self.state.size) / 2) * config.resolution
        center = new_from_old[:3, :3] @ middle + new_from_old[:3, 3]
        low = np.floor((center / config.resolution - np.array(self.state.size) / 2) / BLOCK + 0.5).astype(int) * BLOCK
        self.state = moved(self.state, (int(low[0]), int(low[1]), int(low[2])), new_from_old, config.resolution)
        self.events.append(f"{REANCHORED}: {text}")
        return True

    def _follow(self, grid: VoxelGrid, pose: npt.NDArray[np.float64]) -> MapState:
        """Move the window so that it contains the centre of the grid and the vehicle with a margin."""
        resolution = self.config.resolution
        center = pose[:3, :3] @ (np.asarray(grid.origin) + np.asarray(grid.extent) / 2) + pose[:3, 3]
        focus = center / resolution
        low = []
        for axis, n in enumerate(self.config.size):
            ideal = focus[axis] - n / 2
            if self.state is not None and abs(ideal - self.state.low[axis]) <= 0.75 * BLOCK:
                low.append(self.state.low[axis])
            else:
                low.append(int(np.floor(ideal / BLOCK + 0.5)) * BLOCK)
        target: Lattice = (low[0], low[1], low[2])
        if self.state is None:
            self.state = MapState.empty(self.config, target)
            slide(self.state, self.store, None)
        elif target != self.state.low:
            slide(self.state, self.store, target)
            self.store.drop_beyond(
                (focus[0] / BLOCK, focus[1] / BLOCK), self.config.max_range / (resolution * BLOCK), 512
            )
        return self.state
