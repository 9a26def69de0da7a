"""Adds the evidence of a prediction to the window of the map, at any pose.

Each voxel of the window that the prediction covers reads the nearest voxel of the prediction. Columns of the window are
processed in rows of `BLOCK` voxels, whose constant length lets the compiler use vector instructions. Occupancy is
log-odds (Moravec and Elfes, 1985), classes are a majority vote (Boyer and Moore, 1981). Successive predictions place
completed ground in neighbouring layers; the map does not stack them, see `_drop_stacked_ground`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.mapping.codes import CLASS_MASK, OCCUPIED, SEEN, SURE
from occdepth_ros.mapping.config import BLOCK
from occdepth_ros.mapping.state import Bytes, Steps, Ticks, Voxels

Amounts = tuple[Any, Any, Any, Any]
Vector = npt.NDArray[np.float64]
ONE = 1 << 16
"""Size of a voxel in the fixed-point format of positions."""
_ANY_OCCUPIED, _ANY_SEEN, _ALL_BUT_HIGHEST = 0x8080808080808080, 0x4040404040404040, 0x7F7F7F7F7F7F7F7F


class Rules(NamedTuple):
    """Parameters of the update of a voxel.

    Args:
        increments: log-odds that each code adds, `[256, 2]` int8: seen, completed.
        lowest, highest: limits of the log-odds.
        votes: number of votes of each code for its class, `[256]`.
        ceiling: limit of the log-odds by class, `[256]` int8.
        lifetime: ticks after which an occupied voxel becomes unknown, by class, `[256]` uint16; 65535 = never.
        ground: whether a class is ground, `[256]`.
    """

    increments: Steps
    lowest: int
    highest: int
    votes: Bytes
    ceiling: Steps
    lifetime: Ticks
    ground: npt.NDArray[np.bool_]


@compiled
def integrate(
    codes: Bytes,
    inverse: Vector,
    offset: Vector,
    low: npt.NDArray[np.int64],
    covered: npt.NDArray[np.int64],
    voxels: Voxels,
    rules: Rules,
    now: int,
) -> None:
    """Add the evidence of a prediction to the window.

    Args:
        codes: codes of the prediction, `[X, Y, Z]` uint8, contiguous.
        inverse: rotation from the lattice to the prediction, `[3, 3]`.
        offset: position of the centre of the prediction's voxel (0, 0, 0) on the lattice, voxels, `[3]`.
        low: lattice index of the window's lowest voxel, multiples of `BLOCK`, `[3]`.
        covered: lattice columns to check, `[2, 2]`; columns outside the window are ignored.
        voxels: the window, `[X, Y, Z]`, which is changed.
        rules: parameters of the update.
        now: time of the prediction, see `tick_of`.
    """
    nx, ny, nz = codes.shape
    flat = codes.reshape(-1)
    size_x, size_y, size_z = voxels.seen.shape
    rows = size_z // BLOCK
    count = size_x * size_y * rows
    seen, completed = voxels.seen.reshape(count, BLOCK), voxels.completed.reshape(count, BLOCK)
    label, runner_up = voxels.label.reshape(count, BLOCK), voxels.runner_up.reshape(count, BLOCK)
    margin, tick = voxels.margin.reshape(count, BLOCK), voxels.tick.reshape(count, BLOCK)
    code = np.zeros(size_z + BLOCK, np.uint8)
    words = code.view(np.uint64)
    # unsigned: indices are not tested for a negative sign
    index = np.empty(size_z, np.uint32)
    turn = low[2] // BLOCK % rows
    turn_y = low[1] - low[1] % size_y
    lowest, highest = np.int16(rules.lowest), np.int16(rules.highest)
    # plain arrays: slices of tuple fields are reference-counted in every row, which takes most of the time
    increments, votes, ceiling, lifetime = rules.increments, rules.votes, rules.ceiling, rules.lifetime
    ground = rules.ground
    seen_amounts, completed_amounts = _amounts(increments, SEEN, 0), _amounts(increments, 0, 1)
    seen_flip, completed_flip = np.int16(0), np.int16(-1)
    # position in the prediction = origin + step_x * x + step_y * y + step_z * layer, fixed point, half a voxel added
    step = inverse * ONE
    origin = step[:, 2] * (low[2] - offset[2]) - step[:, 0] * offset[0] - step[:, 1] * offset[1] + ONE / 2
    up_x, up_y, up_z = np.int64(np.rint(step[0, 2])), np.int64(np.rint(step[1, 2])), np.int64(np.rint(step[2, 2]))
    row_step, plane_step = np.int32(nz), np.int32(ny * nz)
    for x in range(max(covered[0, 0], low[0]), min(covered[1, 0], low[0] + size_x)):
        plane = x % size_x * size_y
        start_x, start_y, start_z = origin + step[:, 0] * x
        for y in range(max(covered[0, 1], low[1]), min(covered[1, 1], low[1] + size_y)):
            at_x = np.int64(start_x + step[0, 1] * y)
            at_y = np.int64(start_y + step[1, 1] * y)
            at_z = np.int64(start_z + step[2, 1] * y)
            first, last = _inside(at_x, up_x, nx, 0, size_z)
            first, last = _inside(at_y, up_y, ny, first, last)
            first, last = _inside(at_z, up_z, nz, first, last)
            if first >= last:
                continue
            p, q, r = np.int32(at_x + up_x * first), np.int32(at_y + up_y * first), np.int32(at_z + up_z * first)
            for i in range(last - first):
                # numba widens sums of small integers; the casts keep them at 32 bits
                k = np.int32(i)
                i_x = np.int32(np.int32(p + np.int32(np.int32(up_x) * k)) >> 16)
                i_y = np.int32(np.int32(q + np.int32(np.int32(up_y) * k)) >> 16)
                i_z = np.int32(np.int32(r + np.int32(np.int32(up_z) * k)) >> 16)
                index[i] = np.uint32(np.int32(i_x * plane_step) + np.int32(i_y * row_step) + i_z)
            row, last_row = first // BLOCK, (last - 1) // BLOCK
            column_place = (plane + (y - turn_y if y - turn_y < size_y else y - turn_y - size_y)) * rows
            words[0] = words[1] = 0
            words[2 * (last_row - row)] = words[2 * (last_row - row) + 1] = 0
            column = code[first - row * BLOCK :]
            for i in range(last - first):
                column[i] = flat[index[i]]
            # downwards, so that the row below a row still is without this prediction
            for part in range(last_row - row, -1, -1):
                first_word, last_word = words[2 * part], words[2 * part + 1]
                filled = first_word | last_word
                if filled == 0:
                    continue
                layer = row + part + turn
                place = column_place + (layer if layer < rows else layer - rows)
                here = code[BLOCK * part : BLOCK * (part + 1)]
                # most rows have one kind of evidence, so half of the memory is not touched
                any_completed = (_completed(first_word) | _completed(last_word)) != 0
                if any_completed and filled & np.uint64(_ANY_OCCUPIED):
                    below = -1 if row + part == 0 else place + rows - 1 if place == column_place else place - 1
                    _drop_stacked_ground(here, seen, completed, label, tick, place, below, now, ground, lifetime)
                if filled & np.uint64(_ANY_SEEN):
                    _add(here, seen[place], seen_amounts, seen_flip, lowest, highest)
                if any_completed:
                    _add(here, completed[place], completed_amounts, completed_flip, lowest, highest)
                if filled & np.uint64(_ANY_OCCUPIED):
                    _vote(
                        here,
                        seen[place],
                        completed[place],
                        label[place],
                        runner_up[place],
                        margin[place],
                        tick[place],
                        now,
                        increments,
                        votes,
                        ceiling,
                        lifetime,
                    )


@compiled
def _inside(at: Any, step: Any, size: int, first: int, last: int) -> tuple[int, int]:
    """Return the layers within `first` to `last` whose position `at + step * layer` lies in a grid of `size` voxels."""
    if first >= last:
        return first, first
    top = size * ONE - 1
    bottom_at, top_at = at + step * first, at + step * (last - 1)
    if min(bottom_at, top_at) >= 0 and max(bottom_at, top_at) <= top:
        return first, last
    if step == 0 or max(bottom_at, top_at) < 0 or min(bottom_at, top_at) > top:
        return first, first
    if step < 0:
        at, step = top - at, -step
    return max(first, (step - 1 - at) // step), min(last, (top - at) // step + 1)


@compiled
def _completed(word: Any) -> Any:
    """Return 0 if none of eight codes is known and completed, else another number."""
    low = np.uint64(_ALL_BUT_HIGHEST)
    # the highest bit of each byte: whether the code is not 0, and its bit of seen evidence
    known = (((word & low) + low) | word) & ~low
    return known & ~(word << np.uint64(1))


@compiled
def _amounts(increments: Steps, visibility: int, column: int) -> Amounts:
    """Return the log-odds of hit, sure hit, miss and sure miss as int16, for the bits `visibility` of a code."""
    hit, miss = visibility | OCCUPIED | 1, visibility | 1
    return (
        np.int16(increments[hit, column]),
        np.int16(increments[SURE | hit, column]),
        np.int16(increments[miss, column]),
        np.int16(increments[SURE | miss, column]),
    )


@compiled
def _add(codes: Bytes, odds: Steps, amounts: Amounts, flip: Any, lowest: Any, highest: Any) -> None:
    """Add the log-odds of a row of `BLOCK` codes. Evidence is never cancelled to exactly 0, which means no evidence.

    Args:
        codes: the codes.
        odds: log-odds of seen or of completed evidence, changed.
        amounts: see `_amounts`.
        flip: 0 to add seen evidence, -1 to add completed evidence.
        lowest, highest: limits of the log-odds.
    """
    hit, sure_hit, miss, sure_miss = amounts
    zero, sign_up, sign_down = np.int16(0), np.int16(np.sign(hit)), np.int16(np.sign(miss))
    for i in range(BLOCK):
        # masks of 16 bits instead of branches: bit 7 occupied, bit 6 seen, bit 5 sure, see `codes`
        code = np.int16(codes[i])
        is_occupied, is_seen = np.int16(-(code >> 7 & 1)), np.int16(-(code >> 6 & 1))
        is_sure, is_known = np.int16(-(code >> 5 & 1)), np.int16(-(code & CLASS_MASK != 0))
        up, down = np.int16(hit ^ is_sure & (hit ^ sure_hit)), np.int16(miss ^ is_sure & (miss ^ sure_miss))
        step = np.int16((down ^ is_occupied & (down ^ up)) & is_known & (is_seen ^ flip))
        after = np.int16(np.int16(odds[i]) + step)
        sign = np.int16((sign_down ^ is_occupied & (sign_down ^ sign_up)) & is_known & (is_seen ^ flip))
        after = sign if after == zero else after
        odds[i] = np.int8(min(max(after, lowest), highest))


@compiled
def _drop_stacked_ground(
    codes: Bytes,
    seen: Steps,
    completed: Steps,
    label: Bytes,
    tick: Ticks,
    place: int,
    below: int,
    now: int,
    ground: npt.NDArray[np.bool_],
    lifetime: Ticks,
) -> None:
    """Remove the code of completed ground from voxels that are not occupied above occupied voxels of the same class.

    Args:
        codes: the codes of a row, changed.
        seen, completed, label, tick: fields of `Voxels`, `[rows, BLOCK]`.
        place, below: the row, and the one below it; -1 = none.
        now: time of the prediction.
        ground, lifetime: see `Rules`.
    """
    for i in range(BLOCK):
        code = codes[i]
        if code & (OCCUPIED | SEEN) != OCCUPIED or completed[place, i] > 0 or seen[place, i] != 0:
            continue
        name = code & CLASS_MASK
        if not ground[name] or (i == 0 and below < 0):
            continue
        row, k = (place, i - 1) if i > 0 else (below, BLOCK - 1)
        odds = seen[row, k] if seen[row, k] != 0 else completed[row, k]
        if odds > 0 and label[row, k] == name and np.uint16(now - tick[row, k]) <= lifetime[name]:
            codes[i] = 0


@compiled
def _vote(
    codes: Bytes,
    seen: Steps,
    completed: Steps,
    label: Bytes,
    runner_up: Bytes,
    margin: Bytes,
    tick: Ticks,
    now: int,
    increments: Steps,
    votes: Bytes,
    ceiling: Steps,
    lifetime: Ticks,
) -> None:
    """Count the votes of the occupied voxels of a row: leader, runner-up and the margin between them.

    The arguments are the codes, the fields of `Voxels`, the time, and those of `Rules`.
    """
    for i in range(BLOCK):
        code = codes[i]
        if code < OCCUPIED:
            continue
        leader, lead = label[i], margin[i]
        if np.uint16(now - tick[i]) > lifetime[leader]:
            # the object that occupied the voxel has left: votes start again
            seen[i], completed[i] = increments[code, 0], increments[code, 1]
            leader, lead = np.uint8(0), np.uint8(0)
            label[i] = 0
        vote = votes[code]
        if code & SEEN == 0 and seen[i] != 0:
            vote = np.uint8(0)  # completed evidence does not vote on the class of a seen voxel
        name = code & CLASS_MASK
        if name == leader or vote == 0:
            margin[i] = min(255, lead + vote)
        elif vote > lead:
            runner_up[i], label[i], margin[i] = leader, name, vote - lead
            leader = np.uint8(name)
        else:
            runner_up[i], margin[i] = name, lead - vote
        tick[i] = now
        seen[i] = min(seen[i], ceiling[leader])
        completed[i] = min(completed[i], ceiling[leader])
