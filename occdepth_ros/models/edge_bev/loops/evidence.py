"""Compiled loops over lifted voxels: their state and their evidence from stereo matching."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled
from occdepth_ros.models.edge_bev.config import FINE, LIFT, LiftedState

UNMATCHED, NEAR, FRONT, BEHIND = LiftedState.UNMATCHED, LiftedState.NEAR, LiftedState.FRONT, LiftedState.BEHIND


@compiled
def write_states(
    disparity: Any,
    step: Any,
    centre: Any,
    centre_depth: Any,
    focal_baseline: Any,
    layer_centre: Any,
    column: Any,
    ground: Any,
    resolution: Any,
    reach: Any,
    aside: Any,
    out: Any,
) -> None:
    """Write the state of each lifted voxel by the disparity in the pixel of its centre.

    Args:
        disparity: disparity map, flat, in units of `step`; at most 0 without a match.
        step: pixels.
        centre: flat pixel of each centre, `[V]`.
        centre_depth: depth of the centres, metres, `[V]`.
        focal_baseline: product of depth and disparity, pixel metres.
        layer_centre: height of the centres above the grid's lower face, voxel edges, `[V]`.
        column: flat lifted column of each, `[V]`.
        ground: height of the ground by lifted column, voxel edges, flat.
        resolution: voxel edge, metres.
        reach: distances in front of and behind a surface, metres, and difference of disparities, pixels.
        aside: heights between which a voxel behind a surface is near, metres.
        out: `LiftedState`, `[V]` uint8.
    """
    for i in range(len(centre)):
        found = disparity[centre[i]] * step
        if found <= 0:
            out[i] = UNMATCHED
            continue
        behind = centre_depth[i] - focal_baseline / found
        residual = found - focal_baseline / centre_depth[i]
        state = NEAR
        if behind < -reach[0] and residual < -reach[2]:
            state = FRONT
        elif behind > reach[1] and residual > reach[2]:
            above = (layer_centre[i] - ground[column[i]]) * resolution
            if above < aside[0] or above > aside[1]:
                state = BEHIND
        out[i] = state


@compiled
def compare(
    start: int,
    stop: int,
    chosen: Any,
    disparity: Any,
    step: Any,
    pixel: Any,
    depth: Any,
    focal_baseline: Any,
    reach: Any,
    out: Any,
) -> None:
    """Compare the eight voxels of the rows from `start` to `stop` with the surface in their pixels.

    Args:
        chosen: place of each row in the tables, `[R]`.
        disparity: disparity map, flat, followed by a 0, in units of `step`; at most 0 without a match.
        step: pixels.
        pixel: flat pixel of the eight voxels, `[V, 8]`.
        depth: of the eight voxels, metres, `[V, 8]`.
        focal_baseline: product of depth and disparity, pixel metres.
        reach: fine and coarse distance, metres, and difference of disparities, pixels, at which channels saturate.
        out: channels of `voxel_evidence`, `[R, CHANNELS]`; the channels of distance, match and residual are written,
            those of the hits are set to 0.
    """
    zero = np.float32(0)
    for i in range(start, stop):
        row = chosen[i]
        matched = behind_sum = residual_sum = zero
        for fine in range(FINE):
            out[i, FINE + fine] = zero
            found = disparity[pixel[row, fine]] * step
            if found <= 0:
                out[i, fine] = zero
                continue
            z = depth[row, fine]
            behind = z - focal_baseline / found
            residual = found - focal_baseline / z
            out[i, fine] = min(max(behind, -reach[0]), reach[0]) / reach[0]
            matched += np.float32(1)
            behind_sum += min(max(behind, -reach[1]), reach[1])
            residual_sum += min(max(residual, -reach[2]), reach[2])
        out[i, 2 * FINE] = matched / FINE
        out[i, 2 * FINE + 1] = behind_sum / (FINE * reach[1])
        out[i, 2 * FINE + 2] = residual_sum / (FINE * reach[2])


@compiled
def write_rest(
    start: Any,
    stop: Any,
    chosen: Any,
    layer_centre: Any,
    column: Any,
    ground: Any,
    reach: Any,
    seen: Any,
    position: Any,
    out: Any,
) -> None:
    """Write height above the ground, visibility of the ground, and position of the rows from `start` to `stop`.

    Args:
        chosen: place of each row in the tables, `[R]`.
        layer_centre, column, ground: as in `write_states`.
        reach: heights at which the two channels saturate, voxel edges.
        seen: share of seen ground by lifted column, flat.
        position: `[V, 3]`.
        out: channels of `voxel_evidence`, `[R, CHANNELS]`.
    """
    for i in range(start, stop):
        row = chosen[i]
        above = layer_centre[row] - ground[column[row]]
        for channel in range(2):
            out[i, 2 * FINE + 3 + channel] = min(max(above / reach[channel], np.float32(-1)), np.float32(1))
        out[i, 2 * FINE + 5] = seen[column[row]]
        for axis in range(3):
            out[i, 2 * FINE + 6 + axis] = position[row, axis]


@compiled
def write_hits(voxel: Any, hits: Any, size: Any, row_of: Any, place: Any, depth: Any, face: Any, out: Any) -> None:
    """Write the share of the expected points that voxels contain.

    Args:
        voxel: flat index of voxels that contain matched points, `[K]`.
        hits: number of these points, `[K]`.
        size: lifted voxels along x, y, z.
        row_of: place of every lifted voxel in the tables; -1 out of view.
        place: row of each index of the tables, -1 = none.
        depth: of the eight voxels, metres, `[V, 8]`.
        face: number of pixels covered by the face of a voxel, times depth squared.
        out: channels of `voxel_evidence`, `[R, CHANNELS]`; those of the hits are initially 0.
    """
    for k in range(len(voxel)):
        index = folded_index(voxel[k], size)
        row, fine = row_of[index // FINE], index % FINE
        if row < 0 or place[row] < 0:
            continue
        z = depth[row, fine]
        expected = np.float32(0.5) * face / (z * z) + np.float32(1)
        out[place[row], FINE + fine] = min(hits[k] / expected, np.float32(1))


@compiled
def mark_hits(voxel: Any, size: Any, row_of: Any, out: Any) -> None:
    """Set the lifted voxels in view that contain matched points to `NEAR`; arguments as in `write_hits`."""
    for k in range(len(voxel)):
        row = row_of[folded_index(voxel[k], size) // FINE]
        if row >= 0:
            out[row] = NEAR


@compiled
def folded_index(voxel: Any, size: Any) -> Any:
    """Convert flat indices by voxel to flat indices by (lifted voxel, one of its eight); `size` in lifted voxels."""
    z = voxel % (LIFT * size[2])
    rest = voxel // (LIFT * size[2])
    y = rest % (LIFT * size[1])
    x = rest // (LIFT * size[1])
    lifted = (x // LIFT * size[1] + y // LIFT) * size[2] + z // LIFT
    return lifted * FINE + (x % LIFT * LIFT + y % LIFT) * LIFT + z % LIFT


@compiled
def mark_close(evidence: Any, saturated: Any, residual: Any, out: Any) -> None:
    """Write whether each row is close to a matched surface or to the ground, see `surface.close_to_surface`.

    Args:
        evidence: `[R, CHANNELS]`.
        saturated: magnitude at which a channel counts as saturated.
        residual: disparity residual below which a row is close.
        out: `[R]` bool.
    """
    for i in range(len(evidence)):
        close = abs(evidence[i, 2 * FINE + 3]) < saturated
        close |= evidence[i, 2 * FINE] > 0 and abs(evidence[i, 2 * FINE + 2]) < residual
        for fine in range(FINE):
            distance = abs(evidence[i, fine])
            close |= (0 < distance < saturated) or evidence[i, FINE + fine] > 0
        out[i] = close
