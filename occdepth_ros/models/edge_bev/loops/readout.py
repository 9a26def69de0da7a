"""Compiled loops of the readout: labels and confidence of all voxels in one pass over the logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.compiled import compiled
from occdepth_ros.models.edge_bev.config import FINE, FIRST_PERSON, GROUND, KINDS, LAST_PERSON, LIFT
from occdepth_ros.models.edge_bev.formats import number

OCCUPIED = 1
"""Placeholder of the label of occupied voxels in the table of decisions."""
NEGLIGIBLE = np.float32(-10)
"""Distance below the largest logit from which a logit does not change a confidence of 8 bits."""


@compiled
def decide_columns(
    first: Any,
    last: Any,
    size: Any,
    table: Any,
    person_table: Any,
    person_code: Any,
    person_offset: Any,
    steps: Any,
    reach: Any,
    zone: Any,
    occupancy: Any,
    completed: Any,
    rows: Any,
    direct: Any,
    named: Any,
    cell: Any,
    remembered_rows: Any,
    remembered: Any,
    layout: Any,
    standing: Any,
    ground: Any,
    labels: Any,
    confidence: Any,
) -> None:
    """Decide the voxels of the lifted columns from `first` to `last`.

    Args:
        size: lifted voxels along x, y, z.
        table: see `readout._decisions`, `[zones, 2 reach steps]`.
        person_table, person_code: the table of lifted voxels whose kind is a person or rider, and the first code that
            it calls occupied, by zone, `[zones]`.
        person_offset: added to the logits of persons and riders before the most likely kind is chosen.
        steps, reach: steps and largest magnitude of a quantised logit.
        zone: zone of every lifted voxel, `[N]`.
        occupancy, completed, rows, direct, named, cell, remembered_rows, remembered, layout: fields of `BevOutput`.
        standing, ground: class ids, `[GROUND]` and `[N_GROUND]`.
        labels, confidence: `[2 X, 2 Y, 2 Z]` uint8, written.
    """
    layers = size[2]
    r = np.searchsorted(rows, first * layers)
    k = np.searchsorted(remembered_rows, first * layers)
    logits = np.empty(KINDS, np.float32)
    codes = np.empty(FINE, np.int32)
    names = np.empty(LIFT * LIFT, np.uint8)
    shares = np.empty(LIFT * LIFT, np.float32)
    scale, offset, highest = np.float32(steps), np.float32(reach * steps), np.float32(2 * reach * steps - 1)
    for column in range(first, last):
        x, y = LIFT * (column // size[1]), LIFT * (column % size[1])
        has_names = False
        for layer in range(layers):
            voxel = column * layers + layer
            while r < len(rows) and rows[r] < voxel:
                r += 1
            while k < len(remembered_rows) and remembered_rows[k] < voxel:
                k += 1
            of_zone = table[zone[voxel]]
            largest = 0
            for fine in range(FINE):
                code = int(min(max(occupancy[voxel, fine] * scale + offset, np.float32(0)), highest))
                codes[fine] = code
                largest = max(largest, code)
                decided = of_zone[code]
                label = decided & 255
                i, j = x + fine // (LIFT * LIFT), y + fine // LIFT % LIFT
                labels[i, j, LIFT * layer + fine % LIFT] = label
                confidence[i, j, LIFT * layer + fine % LIFT] = (decided >> 8) & 255
            if largest < person_code[zone[voxel]]:
                continue
            for c in range(KINDS):
                logits[c] = number(completed[voxel, c])
            if r < len(rows) and rows[r] == voxel:
                gate = np.float32(1) / (np.float32(1) + np.exp(-number(direct[r, KINDS])))
                for c in range(KINDS):
                    logits[c] += number(direct[r, c]) + gate * number(named[cell[r], c])
            if k < len(remembered_rows) and remembered_rows[k] == voxel:
                for c in range(KINDS):
                    logits[c] += number(remembered[k, c])
            kind, share = _kind(logits, person_offset)
            if FIRST_PERSON <= kind <= LAST_PERSON:
                of_zone = person_table[zone[voxel]]
                for fine in range(FINE):
                    i, j = x + fine // (LIFT * LIFT), y + fine // LIFT % LIFT
                    decided = of_zone[codes[fine]]
                    labels[i, j, LIFT * layer + fine % LIFT] = decided & 255
                    confidence[i, j, LIFT * layer + fine % LIFT] = (decided >> 8) & 255
            if kind == GROUND and not has_names:
                for fine in range(LIFT * LIFT):
                    which, shares[fine] = _most_likely(layout[column, fine])
                    names[fine] = ground[which]
                has_names = True
            for fine in range(FINE):
                i, j = x + fine // (LIFT * LIFT), y + fine // LIFT % LIFT
                at = LIFT * layer + fine % LIFT
                if labels[i, j, at] == OCCUPIED:
                    certain = np.float32(confidence[i, j, at]) * share
                    if kind == GROUND:
                        labels[i, j, at] = names[fine // LIFT]
                        certain *= shares[fine // LIFT]
                    else:
                        labels[i, j, at] = standing[kind]
                    confidence[i, j, at] = np.uint8(np.rint(certain))


@compiled
def _kind(logits: Any, person_offset: Any) -> Any:
    """Return index and probability of the most likely kind, chosen with `person_offset`."""
    first, share = _most_likely(logits)
    kind = first
    for c in range(FIRST_PERSON, LAST_PERSON + 1):
        advantage = np.float32(0) if FIRST_PERSON <= kind <= LAST_PERSON else person_offset
        if logits[c] + advantage > logits[kind]:
            kind = c
    return kind, share * np.exp(logits[kind] - logits[first])


@compiled
def _most_likely(logits: Any) -> Any:
    """Return index and probability of the most likely class."""
    index = 0
    for c in range(1, len(logits)):
        if logits[c] > logits[index]:
            index = c
    total = np.float32(0)
    for c in range(len(logits)):
        below = logits[c] - logits[index]
        if below > NEGLIGIBLE:
            total += np.exp(below)
    return index, np.float32(1) / total


@compiled
def mark_unknown_below(highest: Any, labels: Any, confidence: Any) -> None:
    """Set the voxels of each column below a layer to unknown.

    Args:
        highest: number of unknown layers, `[X, Y]`; none if not positive.
        labels, confidence: `[X, Y, Z]` uint8, changed.
    """
    for x in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for z in range(min(highest[x, y], labels.shape[2])):
                labels[x, y, z] = UNKNOWN
                confidence[x, y, z] = 0


@compiled
def resample(index: Any, labels: Any, confidence: Any, out_labels: Any, out_confidence: Any) -> None:
    """Write label and confidence of the voxel at each index, all flat; unknown where the index is negative."""
    for i in range(len(index)):
        at = index[i]
        out_labels[i] = labels[at] if at >= 0 else UNKNOWN
        out_confidence[i] = confidence[at] if at >= 0 else 0
