"""Compiled loops of lifting, with one pass over memory for each array; number formats as in `edge_bev.formats`.

Rows are the lifted voxels with evidence; near rows are rows close to a surface. Both are in ascending order, so that
loops over the lifted voxels of the grid can advance through them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled
from occdepth_ros.models.edge_bev.config import FINE, LIFT
from occdepth_ros.models.edge_bev.formats import number, stored


@compiled
def write_inputs(start: Any, stop: Any, evidence: Any, mapped: Any, cell: Any, out: Any) -> None:
    """Write evidence and image features of the rows from `start` to `stop`, concatenated.

    Args:
        evidence: `[R, C]` float32.
        mapped: class probabilities and features of the image cells, `[h w, M]`.
        cell: cell of each row, `[R]`.
        out: `[stop - start, at least C + M]`; the remaining columns are set to zero.
    """
    channels, shown = evidence.shape[1], mapped.shape[1]
    for i in range(start, stop):
        to = i - start
        for c in range(channels):
            out[to, c] = stored(evidence[i, c], out[0, 0])
        at = cell[i]
        for c in range(shown):
            out[to, channels + c] = mapped[at, c]
        for c in range(channels + shown, out.shape[1]):
            out[to, c] = 0


@compiled
def write_columns(
    first: Any,
    last: Any,
    size: Any,
    state: Any,
    state_columns: Any,
    rows: Any,
    lifted: Any,
    near: Any,
    beside: Any,
    remembered_rows: Any,
    remembered: Any,
    ground_cell: Any,
    ground_seen: Any,
    ground: Any,
    columns: Any,
    remembered_columns: Any,
    out: Any,
) -> None:
    """Write the inputs of the bird's-eye view of the lifted columns from `first` to `last`.

    Args:
        size: lifted voxels along x, y, z.
        state: `LiftedState` of every lifted voxel, `[N]`.
        state_columns: channels of lifted voxels without evidence by state, `[states, C]`.
        rows: flat lifted voxel of each row, `[R]`.
        lifted: their channels before the activation, `[R, >= C]`.
        near: rows close to a surface, `[S]`.
        beside: increments of the near rows, `[S, >= C]`.
        remembered_rows: flat lifted voxels with a memory, `[K]`.
        remembered: increments of these voxels after the activation, `[K, C]`.
        ground_cell: cell that shows the ground of each column, -1 where there is none, `[X, Y]`.
        ground_seen: whether the ground was seen, `[X, Y]`.
        ground: ground features of the cells, `[h w, G]`.
        columns: evidence of the lifted columns, `[X/2 Y/2, E]`.
        remembered_columns: memory of the lifted columns, `[X/2 Y/2, M]`.
        out: `[X/2 Y/2, >= Z C + 4 (G + 2) + E + M]`; the remaining columns are set to zero.
    """
    layers, width, shown = size[2], state_columns.shape[1], ground.shape[1]
    r = np.searchsorted(rows, first * layers)
    s = np.searchsorted(near, r)
    k = np.searchsorted(remembered_rows, first * layers)
    zero = np.float32(0)
    for column in range(first, last):
        for layer in range(layers):
            voxel, at = column * layers + layer, layer * width
            if r < len(rows) and rows[r] == voxel:
                if s < len(near) and near[s] == r:
                    for c in range(width):
                        value = number(lifted[r, c]) + number(beside[s, c])
                        out[column, at + c] = stored(max(value, zero), out[0, 0])
                    s += 1
                else:
                    for c in range(width):
                        out[column, at + c] = stored(max(number(lifted[r, c]), zero), out[0, 0])
                r += 1
            else:
                for c in range(width):
                    out[column, at + c] = stored(state_columns[state[voxel], c], out[0, 0])
            if k < len(remembered_rows) and remembered_rows[k] == voxel:
                for c in range(width):
                    value = number(out[column, at + c]) + number(remembered[k, c])
                    out[column, at + c] = stored(value, out[0, 0])
                k += 1
        at = layers * width
        x, y = column // size[1], column % size[1]
        for fine in range(LIFT * LIFT):
            i, j = LIFT * x + fine // LIFT, LIFT * y + fine % LIFT
            cell = ground_cell[i, j]
            for c in range(shown):
                out[column, at + c] = ground[cell, c] if cell >= 0 else stored(zero, out[0, 0])
            out[column, at + shown] = stored(np.float32(cell >= 0), out[0, 0])
            out[column, at + shown + 1] = stored(np.float32(ground_seen[i, j]), out[0, 0])
            at += shown + 2
        for c in range(columns.shape[1]):
            out[column, at + c] = stored(columns[column, c], out[0, 0])
        at += columns.shape[1]
        for c in range(remembered_columns.shape[1]):
            out[column, at + c] = stored(remembered_columns[column, c], out[0, 0])
        for c in range(at + remembered_columns.shape[1], out.shape[1]):
            out[column, c] = 0


@compiled
def write_logits(
    first: Any,
    last: Any,
    layers: Any,
    offset: Any,
    occupancy: Any,
    state: Any,
    state_occupancy: Any,
    rows: Any,
    evidence: Any,
    matched: Any,
    lifted: Any,
    near: Any,
    beside: Any,
    refined: Any,
    remembered_rows: Any,
    remembered: Any,
    out: Any,
    direct: Any,
) -> None:
    """Write the occupancy of the lifted voxels of the columns from `first` to `last`, and direct logits of their rows.

    Args:
        layers: lifted voxels along z.
        offset: first channel of the logits in `lifted` and `beside`.
        occupancy: logits from the bird's-eye view, `[N, 8]`.
        state, rows, near, remembered_rows: as in `write_columns`.
        state_occupancy: increments by state, `[states, 8]`.
        evidence: `[R, CHANNELS]`.
        matched: channel of the share of matched voxels.
        lifted: logits of the rows, `[R, >= offset + 8 + D]`.
        beside: increments of the first sparse block for the near rows, with the layout of `lifted`.
        refined: increments of the second sparse block, `[S, 8 + D - 1]`.
        remembered: increments of the memory, `[K, >= 8]`.
        out: `[N, 8]` float32.
        direct: kinds and the gate of the rows, `[R, D]`.
    """
    r = np.searchsorted(rows, first * layers)
    s = np.searchsorted(near, r)
    k = np.searchsorted(remembered_rows, first * layers)
    kinds = direct.shape[1]
    behind = offset + FINE
    for voxel in range(first * layers, last * layers):
        at = state[voxel]
        for fine in range(FINE):
            out[voxel, fine] = number(occupancy[voxel, fine]) + state_occupancy[at, fine]
        if r < len(rows) and rows[r] == voxel:
            for fine in range(FINE):
                out[voxel, fine] += number(lifted[r, offset + fine])
            gate = number(lifted[r, behind + kinds - 1]) + np.float32(2) * evidence[r, matched] - np.float32(1)
            if s < len(near) and near[s] == r:
                for fine in range(FINE):
                    out[voxel, fine] += number(beside[s, offset + fine]) + number(refined[s, fine])
                for c in range(kinds - 1):
                    value = number(lifted[r, behind + c]) + number(beside[s, behind + c])
                    direct[r, c] = stored(value + number(refined[s, FINE + c]), direct[0, 0])
                gate += number(beside[s, behind + kinds - 1])
                s += 1
            else:
                for c in range(kinds - 1):
                    direct[r, c] = lifted[r, behind + c]
            direct[r, kinds - 1] = stored(gate, direct[0, 0])
            r += 1
        if k < len(remembered_rows) and remembered_rows[k] == voxel:
            for fine in range(FINE):
                out[voxel, fine] += number(remembered[k, fine])
            k += 1


@compiled
def write_layout(
    first: Any, last: Any, columns_y: Any, head: Any, ground_cell: Any, named: Any, remembered: Any, out: Any
) -> None:
    """Write the logits of the ground classes of the lifted columns from `first` to `last`.

    Args:
        columns_y: lifted columns along y.
        head: logits and a gate from the bird's-eye view, `[X/2 Y/2, 4 (N_GROUND + 1)]`.
        ground_cell: cell that shows the ground of each column, -1 where there is none, `[X, Y]`.
        named: logits by cell of the image, `[h w, N_GROUND]`.
        remembered: increments of the memory, `[X/2 Y/2, N_GROUND]`.
        out: `[X/2 Y/2, 4, N_GROUND]` float32.
    """
    classes = out.shape[2]
    for column in range(first, last):
        x, y = column // columns_y, column % columns_y
        for fine in range(LIFT * LIFT):
            at = fine * (classes + 1)
            cell = ground_cell[LIFT * x + fine // LIFT, LIFT * y + fine % LIFT]
            for c in range(classes):
                out[column, fine, c] = number(head[column, at + c]) + number(remembered[column, c])
            if cell >= 0:
                gate = np.float32(1) / (np.float32(1) + np.exp(-number(head[column, at + classes])))
                for c in range(classes):
                    out[column, fine, c] += gate * number(named[cell, c])
