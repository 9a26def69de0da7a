"""Updates of the voxels in the window: adding evidence, decay, and reading."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN, ClassTable
from occdepth_ros.compiled import compiled
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.mapping import codes as code
from occdepth_ros.mapping.config import BLOCK, MapConfig
from occdepth_ros.mapping.integration import Rules, integrate
from occdepth_ros.mapping.state import Bytes, Lattice, MapState, Voxels
from occdepth_ros.prediction import Visibility

TICK_NS = 100_000_000
FADE_STEPS = 7
"""Number of halvings after which every 8-bit log-odds is 0."""
MAX_AGE = 30_000
"""Largest age of an observation, ticks; older observations keep this age, because the 16-bit counter wraps around."""
_NEVER = 0xFFFF
_SEEN, _HIDDEN, _OUTSIDE = (np.uint8(v) for v in (Visibility.SEEN, Visibility.HIDDEN, Visibility.OUTSIDE))

Matrix = npt.NDArray[np.float64]


def tick_of(stamp_ns: int) -> int:
    """Convert a time to `Voxels.tick`: tenths of a second modulo 2^16."""
    return stamp_ns // TICK_NS & 0xFFFF


class Evidence:
    """Updates and reads the voxels of a `MapState`.

    Args:
        config: rates and limits.
        classes: class table of the labels.
    """

    def __init__(self, config: MapConfig, classes: ClassTable) -> None:
        self.config = config
        lowest, highest = (int(np.rint(limit / code.UNIT).clip(-127, 127)) for limit in config.clamp)
        dynamic = config.dynamic_ids(classes)
        ceiling = np.full(256, highest, np.int8)
        ceiling[dynamic] = min(highest, round(config.dynamic_clamp / code.UNIT))
        lifetime = np.full(256, _NEVER, np.uint16)
        if config.static_s > 0:
            lifetime[EMPTY + 1 : UNKNOWN] = _ticks(config.static_s)
        lifetime[dynamic] = np.minimum(lifetime[dynamic], _ticks(config.dynamic_s))
        votes = np.array([2 + 2 * bool(c & code.SEEN) + bool(c & code.SURE) for c in range(256)], np.uint8)
        self._rules = Rules(code.increments(config), lowest, highest, votes, ceiling, lifetime, classes.is_ground)
        self.restart()

    def restart(self) -> None:
        """Restart fading at the first row."""
        self._swept = 0.0
        self._row = 0

    def add(self, state: MapState, codes: Bytes, grid: VoxelGrid, map_from_grid: Matrix, now: int) -> None:
        """Add the evidence of a prediction; voxels outside the window are dropped.

        Args:
            state: the window, which is changed.
            codes: codes of the prediction, `[X, Y, Z]`.
            grid: grid of the prediction.
            map_from_grid: pose of the grid's frame in the map's frame, `[4, 4]`.
            now: time of the prediction, see `tick_of`.
        """
        rotation = np.ascontiguousarray(map_from_grid[:3, :3])
        # lattice index (continuous, of centres) from grid index: w = rotation @ p + offset
        centre = rotation @ (np.asarray(grid.origin) + grid.resolution / 2) + map_from_grid[:3, 3]
        offset = centre / grid.resolution - 0.5
        covered = _bounds(codes.shape, rotation, offset)
        low = np.array(state.low, np.int64)
        inverse = np.ascontiguousarray(rotation.T)
        integrate(codes, inverse, offset, low, covered, state.voxels, self._rules, now)

    def fade(self, state: MapState, elapsed: float, now: int) -> None:
        """Fade completed voxels and limit ages, a few rows at a time: all rows in a seventh of `completed_s`.

        Args:
            state: the window, which is changed.
            elapsed: time since the previous call, seconds; not negative.
            now: see `tick_of`.
        """
        rows = state.size[0]
        self._swept += rows * min(elapsed * FADE_STEPS / self.config.completed_s, FADE_STEPS + 1)
        passes, count = divmod(int(self._swept), rows)
        self._swept -= int(self._swept)
        long_ago = elapsed * 1e9 / TICK_NS > MAX_AGE
        if passes or long_ago:
            _fade(state.voxels, 0, rows, passes, now, long_ago)
        _fade(state.voxels, self._row, count, 1, now, False)
        self._row = (self._row + count) % rows

    def read(self, state: MapState, low: Lattice, size: Lattice, now: int) -> tuple[Bytes, Bytes, Bytes]:
        """Return labels, confidence and visibility of a box inside the window, `[*size]` each.

        Args:
            state: the window.
            low, size: the box, lattice indices.
            now: see `tick_of`.
        """
        # whole rows of blocks, cropped to the box below
        below = low[2] % BLOCK
        rows = -(-(below + size[2]) // BLOCK)
        first = np.array([a % n for a, n in zip(low, state.size, strict=True)], np.int64) - (0, 0, below)
        out = np.empty((3, size[0], size[1], rows * BLOCK), np.uint8)
        _read(state.voxels, first, self._rules.lifetime, now, out)
        labels, confidence, visibility = np.ascontiguousarray(out[..., below : below + size[2]])
        return labels, confidence, visibility


def _ticks(seconds: float) -> int:
    return int(min(seconds * 1e9 / TICK_NS, MAX_AGE))


def _bounds(size: tuple[int, ...], rotation: Matrix, offset: Matrix) -> npt.NDArray[np.int64]:
    """Return the first and last plus one lattice index along x and y of a prediction of this size, `[2, 2]`."""
    corners = np.array(
        [[i, j, k] for i in (-0.5, size[0] - 0.5) for j in (-0.5, size[1] - 0.5) for k in (-0.5, size[2] - 0.5)]
    )
    lattice = corners @ rotation.T + offset
    return np.stack([np.floor(lattice.min(0)), np.ceil(lattice.max(0)) + 1]).astype(np.int64)[:, :2]


@compiled
def _fade(voxels: Voxels, first: int, count: int, passes: int, now: int, long_ago: bool) -> None:
    """Halve the completed log-odds of rows, rounded towards zero, and limit the ages of their observations.

    Args:
        voxels: the window.
        first, count: rows, modulo the size of the window.
        passes: number of halvings.
        now: see `tick_of`.
        long_ago: whether all observations are older than `MAX_AGE`.
    """
    rows = voxels.seen.shape[0]
    oldest = np.uint16(now - MAX_AGE)
    shift = np.int16(min(passes, 7))
    for row in range(first, first + count):
        completed = voxels.completed[row % rows].reshape(-1)
        for i in range(completed.size):
            value = np.int16(completed[i])
            completed[i] = np.int8(np.int16(np.int16(value + np.int16((value < 0) * ((1 << shift) - 1))) >> shift))
        tick = voxels.tick[row % rows].reshape(-1)
        for i in range(tick.size):
            old = long_ago or np.uint16(np.uint16(now) - tick[i]) > np.uint16(MAX_AGE)
            tick[i] = oldest if old else tick[i]


@compiled
def _read(voxels: Voxels, first: npt.NDArray[np.int64], lifetime: npt.NDArray[np.uint16], now: int, out: Bytes) -> None:
    """Read a box of the window into `out`, `[3, X, Y, Z]`: labels, confidence and visibility.

    Args:
        voxels: the window.
        first: position of the box in the arrays, `[3]`; the layer is a multiple of `BLOCK`.
        lifetime: see `Rules`.
        now: see `tick_of`.
        out: written; its layers are a multiple of `BLOCK`.
    """
    size_x, size_y, size_z = voxels.seen.shape
    rows = size_z // BLOCK
    seen_words, completed_words = voxels.seen.view(np.uint64), voxels.completed.view(np.uint64)
    for i in range(out.shape[1]):
        x = (first[0] + i) % size_x
        for j in range(out.shape[2]):
            y = (first[1] + j) % size_y
            for row in range(out.shape[3] // BLOCK):
                place = (first[2] // BLOCK + row) % rows
                labels = out[0, i, j, row * BLOCK : (row + 1) * BLOCK]
                confidence = out[1, i, j, row * BLOCK : (row + 1) * BLOCK]
                visibility = out[2, i, j, row * BLOCK : (row + 1) * BLOCK]
                a, b = 2 * place, 2 * place + 1
                if seen_words[x, y, a] | seen_words[x, y, b] | completed_words[x, y, a] | completed_words[x, y, b] == 0:
                    for k in range(BLOCK):
                        labels[k], confidence[k], visibility[k] = UNKNOWN, 0, _OUTSIDE
                    continue
                for k in range(BLOCK):
                    z = place * BLOCK + k
                    seen = voxels.seen[x, y, z]
                    odds = seen if seen != 0 else voxels.completed[x, y, z]
                    label = voxels.label[x, y, z] if odds > 0 else np.uint8(EMPTY)
                    is_old = odds > 0 and np.uint16(now - voxels.tick[x, y, z]) > lifetime[label]
                    if odds == 0 or is_old:
                        labels[k], confidence[k], visibility[k] = UNKNOWN, 0, _OUTSIDE
                    else:
                        labels[k] = label
                        confidence[k] = _PROBABILITY[abs(np.int64(odds))]
                        visibility[k] = _SEEN if seen != 0 else _HIDDEN


_PROBABILITY = np.rint(255 / (1 + np.exp(-np.arange(129) * code.UNIT))).astype(np.uint8)
"""Probability of the state, times 255, by the absolute log-odds in steps, `[129]`."""
