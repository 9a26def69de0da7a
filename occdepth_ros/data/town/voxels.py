"""Voxel truth of a street, with what nobody driving along it sees left unknown."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.town.ground import Ground
from occdepth_ros.data.town.layout import Street
from occdepth_ros.data.town.solids import LABEL, Ball
from occdepth_ros.grid import VoxelGrid

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_GROWN, _SHELL = 0.03, 0.4
_ORDER = {LABEL["building"]: 1, LABEL["vegetation"]: 2, LABEL["trunk"]: 3}


def solid_labels(street: Street, grid: VoxelGrid, world_from_grid: Matrix) -> Labels:
    """Class of every voxel centre `[X, Y, Z]`: 0 in the air, 255 deep inside of a block or below the ground."""
    labels = np.zeros(grid.size, np.uint8)
    _lay_ground(labels, street.ground, grid, world_from_grid)
    rotation, shift = world_from_grid[:3, :3], world_from_grid[:3, 3]
    solids = street.world.solids
    corners = (street.world.corners - shift) @ rotation
    origin, edge = np.asarray(grid.origin), grid.resolution
    first = np.clip(np.floor((corners.min(axis=1) - 0.1 - origin) / edge), 0, grid.size).astype(int)
    last = np.clip(np.ceil((corners.max(axis=1) + 0.1 - origin) / edge), 0, grid.size).astype(int)
    for i in sorted(range(len(solids)), key=lambda i: _ORDER.get(solids[i].label, 4)):
        if (first[i] >= last[i]).any():
            continue
        solid = solids[i]
        low, high = first[i], last[i]
        part = labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        x, y, z = (origin[a] + edge * (np.arange(low[a], high[a]) + 0.5) for a in range(3))
        if isinstance(solid, Ball):
            # a voxel counts by its centre: what is thinner than half a voxel is grown to be found
            grown = np.maximum(np.asarray(solid.radii) + _GROWN, 0.11)
            m = (solid.turn.T / grown[:, None]) @ rotation
            c = (solid.turn.T / grown[:, None]) @ (shift - solid.center)
            rows = [(m[k, 0] * x)[:, None, None] + (m[k, 1] * y)[:, None] + (m[k, 2] * z + c[k]) for k in range(3)]
            part[rows[0] ** 2 + rows[1] ** 2 + rows[2] ** 2 <= 1] = solid.label
            continue
        n = solid.planes[:, :3] @ rotation
        c = solid.planes[:, :3] @ shift - solid.planes[:, 3]
        out = np.full(part.shape, -np.inf)
        for k in range(len(n)):
            np.maximum(out, (n[k, 0] * x)[:, None, None] + (n[k, 1] * y)[:, None] + (n[k, 2] * z + c[k]), out=out)
        part[out <= max(_GROWN, 0.11 - solid.half)] = solid.label
        part[out <= -_SHELL] = UNKNOWN
    return labels


def _lay_ground(labels: Labels, ground: Ground, grid: VoxelGrid, world_from_grid: Matrix) -> None:
    r, t = world_from_grid[:3, :3], world_from_grid[:3, 3]
    x, y = np.meshgrid(grid.axis_centers(0), grid.axis_centers(1), indexing="ij")
    height = -(t[2] + r[2, 0] * x + r[2, 1] * y) / r[2, 2]
    place = [r[a, 0] * x + r[a, 1] * y + r[a, 2] * height + t[a] for a in (0, 1)]
    label = ground.label(place[0].astype(np.float32), place[1].astype(np.float32))
    layer = np.floor((height - grid.origin[2]) / grid.resolution)[..., None]
    k = np.arange(grid.size[2])
    labels[k < layer] = UNKNOWN
    at = k == layer
    labels[at] = np.broadcast_to(label[..., None], at.shape)[at]


def visible(labels: Labels, viewpoint: Sequence[float]) -> Mask:
    """Which free voxels a place sees: light spreads slice by slice, away from it, along x and along y.

    Args:
        labels: `[X, Y, Z]`.
        viewpoint: in voxels, centres at whole numbers.
    """
    free = (labels == EMPTY).astype(np.float32)
    seen = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        volume, out = np.swapaxes(free, 0, axis), np.swapaxes(seen, 0, axis)
        at, side, up = viewpoint[axis], viewpoint[1 - axis], viewpoint[2]
        count, width, tall = volume.shape
        for step in (1, -1):
            start = int(np.floor(at)) + 1 if step > 0 else int(np.ceil(at)) - 1
            if not 0 <= start < count:
                continue
            light = np.ascontiguousarray(volume[start])
            for i in range(start, count if step > 0 else -1, step):
                if i != start:
                    s = (i - step - at) / (i - at)
                    to_previous = np.array([[s, 0, up * (1 - s)], [0, s, side * (1 - s)]])
                    moved = cv2.warpAffine(
                        light, to_previous, (tall, width), flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
                    )
                    light = np.asarray(moved * volume[i], np.float32)
                reach = abs(i - at) + 1
                rows = slice(max(int(side - reach), 0), min(int(side + reach) + 2, width))
                out[i, rows] |= light[rows] > 0.3
    return seen


def hide(labels: Labels, seen: Mask) -> Labels:
    """The labels with 255 where nobody saw the space, or a surface at most two voxels behind seen space."""
    near = cv2.dilate(seen.astype(np.uint8).reshape(seen.shape[0], -1), np.ones((5, 1), np.uint8)).reshape(seen.shape)
    near = np.stack([cv2.dilate(plane, np.ones((5, 5), np.uint8)) for plane in near])
    return np.where(seen | ((labels != EMPTY) & (near > 0)), labels, np.uint8(UNKNOWN))
