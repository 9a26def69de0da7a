"""Arithmetic on the voxels of the window: adding evidence, votes for classes, decay, and reading.

Occupancy is log-odds (Moravec and Elfes, 1985). Classes are a majority vote (Boyer and Moore, 1981). All steps work on
parts of the window that stay in the cache of one core.
"""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN, ClassTable
from occdepth_ros.mapping import codes as code
from occdepth_ros.mapping.alignment import WORD, AlignedColumns
from occdepth_ros.mapping.config import MapConfig
from occdepth_ros.mapping.state import COMPLETED, SEEN, Lattice, MapState, runs
from occdepth_ros.prediction import Visibility

TICK_NS = 100_000_000
FADE_STEPS = 7
"""Passes of halving after which every log-odds of 8 bits is 0."""
MAX_AGE = 30_000
"""Ticks after which an observation counts as this old: the counter of 16 bits wraps at 65,536."""
COLUMNS = 8192
"""Columns that are updated at a time."""
ROWS_READ = 8
"""Rows of the window that are read at a time."""
_HIT_BITS = np.uint64(code.OCCUPIED * 0x0101010101010101)
_SEEN, _HIDDEN, _OUTSIDE = (np.uint8(v) for v in (Visibility.SEEN, Visibility.HIDDEN, Visibility.OUTSIDE))

Bytes = npt.NDArray[np.uint8]
Steps = npt.NDArray[np.int8]
Index = npt.NDArray[np.int64]


def tick_of(stamp_ns: int) -> int:
    """Time of `MapState.tick`: tenths of a second modulo 2^16."""
    return stamp_ns // TICK_NS & 0xFFFF


class Evidence:
    """Updates and reads the voxels of a `MapState`.

    Args:
        config: rates and limits.
        classes: what the labels mean.
    """

    def __init__(self, config: MapConfig, classes: ClassTable) -> None:
        self.config = config
        self._increments = code.increments(config).view(np.int16)[:, 0]
        self._limits = np.rint(np.array(config.clamp) / code.UNIT).clip(-127, 127).astype(np.int8)
        self._dynamic = np.zeros(256, bool)
        self._dynamic[config.dynamic_ids(classes)] = True
        self._dynamic_limit = np.int8(round(config.dynamic_clamp / code.UNIT))
        ageing = self._dynamic.copy()
        if config.static_s > 0:
            ageing[EMPTY + 1 : UNKNOWN] = True
        self._ageing = ageing.view(np.uint8)
        self._votes = np.array([2 + 2 * bool(c & code.SEEN) + bool(c & code.SURE) for c in range(256)], np.uint8)
        self.restart()

    def restart(self) -> None:
        """Start fading with the first row."""
        self._swept = 0.0
        self._row = 0

    def add(self, state: MapState, columns: AlignedColumns, now: int) -> None:
        """Add the evidence of aligned columns; what lies outside the window is dropped.

        Args:
            state: the window, which is changed.
            columns: each column of the map at most once.
            now: time of the prediction, see `tick_of`.
        """
        column = state.column(columns.x, columns.y)
        for first in range(0, len(column), COLUMNS):
            part = slice(first, first + COLUMNS)
            index, words = _placed(state, column[part], columns.start[part], columns.words[part])
            if len(index):
                self._add_words(state, index, words, now)

    def _add_words(self, state: MapState, index: Index, words: npt.NDArray[np.uint64], now: int) -> None:
        """Add words of eight codes, `[N]`, to the words of the window with these indices."""
        # 16 bytes are the log-odds of eight voxels; complex numbers are only copied
        occupancy = state.occupancy.reshape(-1).view(np.complex128)
        observed = words.view(np.uint8)
        steps = cv2.LUT(observed.reshape(-1, WORD), self._increments).view(np.int8).reshape(-1, 2 * WORD)
        before = occupancy.take(index).view(np.int8).reshape(-1, 2 * WORD)
        after = np.asarray(cv2.add(before, steps), np.int8).reshape(before.shape)
        # np.clip is ten times as fast as np.maximum with a scalar
        np.clip(after, self._limits[0], self._limits[1], out=after)
        with_hits = np.flatnonzero((words & _HIT_BITS) != 0)
        if len(with_hits):
            bits = words.take(with_hits).view(np.uint8) >> np.uint8(7)
            hits = np.flatnonzero(bits.view(np.bool_))
            word, lane = with_hits.take(hits >> 3), hits & 7
            voxel, local = index.take(word) * WORD + lane, word * WORD + lane
            self._vote(state, voxel, observed.take(local), after, before, steps, local, now)
        occupancy[index] = after.reshape(-1).view(np.complex128)

    def _vote(
        self,
        state: MapState,
        voxel: Index,
        observed: Bytes,
        after: Steps,
        before: Steps,
        steps: Steps,
        local: Index,
        now: int,
    ) -> None:
        """Count the votes of occupied voxels: leader, runner-up and the margin between them.

        Args:
            state: the window.
            voxel: flat indices of the occupied voxels in the window, `[N]`.
            observed: their codes, `[N]`.
            after, before, steps: log-odds of all voxels of the words, `[M, 16]`; `after` is changed.
            local: indices of the occupied voxels among all voxels of the words, `[N]`.
            now: see `tick_of`.
        """
        label, runner_up = state.label.reshape(-1), state.runner_up.reshape(-1)
        margin, tick = state.margin.reshape(-1), state.tick.reshape(-1)
        leader, lead = label.take(voxel), margin.take(voxel)
        dynamic = np.flatnonzero(self._dynamic.take(leader))
        if len(expired := dynamic[self._expired(leader[dynamic], tick[voxel[dynamic]], now)]):
            # the object that was here has left: the voxel starts anew
            gone = local[expired]
            after.reshape(-1, 2)[gone] = steps.reshape(-1, 2)[gone]
            leader[expired], lead[expired] = 0, 0
        vote = self._votes.take(observed)
        # completed evidence does not name a voxel that was seen
        completed = np.flatnonzero((observed & np.uint8(code.SEEN)) == 0)
        if len(completed):
            was_seen = before.reshape(-1).take(2 * local.take(completed) + SEEN) != 0
            vote[completed[was_seen]] = 0
        name = observed & np.uint8(code.CLASS_MASK)
        differs = np.flatnonzero((name != leader) & (vote > 0))
        was, votes = lead[differs], vote[differs]
        # saturating; cv2.add takes vectors of one to four elements for scalars
        lead += vote
        lead |= _mask(lead < vote)
        overtaken = votes > was
        lead[differs] = np.where(overtaken, votes - was, was - votes)
        where = voxel[differs]
        runner_up[where] = np.where(overtaken, leader[differs], name[differs])
        leader[differs] = np.where(overtaken, name[differs], leader[differs])
        label[where] = leader[differs]
        margin[voxel], tick[voxel] = lead, now
        moving = local[np.flatnonzero(self._dynamic.take(leader))]
        pairs = after.reshape(-1, 2)
        pairs[moving] = np.minimum(pairs[moving], self._dynamic_limit)

    def _expired(self, labels: Bytes, tick: npt.NDArray[np.uint16], now: int) -> npt.NDArray[np.bool_]:
        """Whether voxels of these classes, last observed as occupied then, have become unknown."""
        age = np.uint16(now) - tick
        out: npt.NDArray[np.bool_] = self._dynamic.take(labels)
        out &= age > np.uint16(self.config.dynamic_s * 10)
        if self.config.static_s > 0:
            out |= (labels != EMPTY) & (age > np.uint16(min(self.config.static_s * 10, MAX_AGE)))
        return out

    def fade(self, state: MapState, elapsed: float, now: int) -> None:
        """Fade completed voxels and limit ages, a few rows at a time: all rows in a seventh of `completed_s`.

        Args:
            state: the window, which is changed.
            elapsed: time since the previous call, seconds.
            now: see `tick_of`.
        """
        self._swept += state.size[0] * elapsed / (self.config.completed_s / FADE_STEPS)
        count = min(int(self._swept), state.size[0])
        self._swept -= int(self._swept)
        for first, last in ((self._row, min(self._row + count, state.size[0])), (0, self._row + count - state.size[0])):
            for row in range(first, max(first, last)):
                completed = state.occupancy[row, :, :, COMPLETED]
                # halves, rounded towards zero
                completed += completed < 0
                completed >>= 1
                tick = state.tick[row]
                age = np.uint16(now) - tick
                np.copyto(tick, np.uint16((now - MAX_AGE) & 0xFFFF), where=age > MAX_AGE)
        self._row = (self._row + count) % state.size[0]

    def read(self, state: MapState, low: Lattice, size: Lattice, now: int) -> tuple[Bytes, Bytes, Bytes]:
        """Labels, confidence and visibility of a box that lies inside the window, `[*size]` each.

        Args:
            state: the window.
            low, size: the box, lattice indices.
            now: see `tick_of`.
        """
        out = np.empty((3, *size), np.uint8)
        for parts in product(*(runs(a, n, total) for a, n, total in zip(low, size, state.size, strict=True))):
            to, source = tuple(p for p, _ in parts), tuple(p for _, p in parts)
            for first in range(0, to[0].stop - to[0].start, ROWS_READ):
                rows = slice(source[0].start + first, min(source[0].start + first + ROWS_READ, source[0].stop))
                here = (rows, *source[1:])
                there = slice(to[0].start + first, to[0].start + first + rows.stop - rows.start)
                self._read_part(state, here, out[(slice(None), there, *to[1:])], now)
        return out[0], out[1], out[2]

    def _read_part(self, state: MapState, here: tuple[slice, ...], out: Bytes, now: int) -> None:
        """Read some rows of the window into `out`, `[3, X, Y, Z]`."""
        labels, confidence, visibility = out
        occupancy = np.ascontiguousarray(state.occupancy[here])
        depth = occupancy.shape[2]
        seen, completed = (
            np.asarray(channel, np.int8).reshape(occupancy.shape[:3])
            for channel in cv2.split(occupancy.reshape(-1, depth, 2))
        )
        # masks are 0 or 255; np.where is many times slower
        is_seen = _mask(seen != 0)
        steps = seen.view(np.uint8) | (completed.view(np.uint8) & ~is_seen)
        confidence[:] = cv2.LUT(steps.reshape(-1, depth), _PROBABILITY).reshape(steps.shape)
        nothing = _mask(steps == 0)
        np.bitwise_and(state.label[here], _mask(steps.view(np.int8) > 0), out=labels)
        labels |= nothing & np.uint8(UNKNOWN)
        visibility[:] = _HIDDEN ^ (is_seen & (_HIDDEN ^ _SEEN))
        visibility ^= nothing & (visibility ^ _OUTSIDE)
        ageing = np.flatnonzero(cv2.LUT(labels.reshape(-1, depth), self._ageing))
        if len(ageing):
            x, y, z = np.unravel_index(ageing, labels.shape)
            gone = np.flatnonzero(self._expired(labels[x, y, z], state.tick[here][x, y, z], now))
            x, y, z = x[gone], y[gone], z[gone]
            labels[x, y, z], confidence[x, y, z], visibility[x, y, z] = UNKNOWN, 0, _OUTSIDE


def _mask(values: npt.NDArray[np.bool_]) -> Bytes:
    """255 where True, `[...]`."""
    return np.negative(values.view(np.uint8))


def _placed(
    state: MapState, column: Index, start: Index, words: npt.NDArray[np.uint64]
) -> tuple[Index, npt.NDArray[np.uint64]]:
    """Shift columns to their heights and return the words inside the window that hold a code.

    Args:
        state: the window.
        column: flat index of each column, -1 = outside, `[N]`.
        start: layer of the lowest voxel of each column, relative to the lowest layer of the window, `[N]`.
        words: `[N, W]`.

    Returns:
        index of each word in the window's arrays, and the words, `[M]` each.
    """
    per_column = state.size[2] // WORD
    if column.min(initial=0) < 0:
        inside = np.flatnonzero(column >= 0)
        column, start, words = column[inside], start[inside], words[inside]
    count, n_words = words.shape
    # little endian: layer 0 is the lowest byte of a word
    bits = ((start & 7) << 3).view(np.uint64)
    whole = np.empty((count, n_words + 1), np.uint64)
    first = start >> 3
    place = np.empty((count, n_words + 1), np.int64)
    carried: npt.NDArray[np.uint64] | None = None
    turn = state.low[2] // WORD
    for layer in range(n_words + 1):
        out = whole[:, layer]
        if layer < n_words:
            word = words[:, layer]
            np.left_shift(word, bits, out=out)
            if carried is not None:
                out |= carried
            # in two steps, because a shift by 64 is undefined
            carried = (word >> np.uint64(1)) >> (np.uint64(63) - bits)
        else:
            out[:] = carried
    layers = np.arange(n_words + 1)
    reach = first.min(initial=0), first.max(initial=0) + n_words
    if reach[0] < 0 or reach[1] >= per_column:
        whole[(first[:, None] + layers).view(np.uint64) >= per_column] = 0
    # (first + layer + turn) modulo per_column, without a division
    table = (np.arange(reach[0], reach[1] + 1) + turn) % per_column
    np.add((column * per_column)[:, None], table.take(first[:, None] + (layers - reach[0])), out=place)
    kept = np.flatnonzero(whole != 0)
    return place.reshape(-1).take(kept), whole.reshape(-1).take(kept)


def _probability() -> Bytes:
    """Probability of the state, times 255, by the byte of the int8 log-odds; 0 without evidence, `[256]`."""
    odds = np.abs(np.arange(256).astype(np.int8).astype(np.float64)) * code.UNIT
    table = np.rint(255 / (1 + np.exp(-odds)))
    table[0] = 0
    return table.astype(np.uint8)


_PROBABILITY = _probability()
