"""Occupancy of voxels by the solids and the ground of a scene."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.data.synthetic.scene.ground import Ground
from occdepth_ros.data.synthetic.scene.layout import Scene
from occdepth_ros.data.synthetic.scene.solids import LABEL, Ball, Paint
from occdepth_ros.grid import VoxelGrid

Labels = npt.NDArray[np.uint8]
_GROWN, _SHELL = 0.05, 0.4
_WIDENED = {LABEL[name]: 0.06 for name in ("pole", "trunk", "traffic-sign", "fence")}
"""Additional widening of thin objects by merged scans, metres."""
LEAFY = 0.75
"""Share of the voxels in a crown that contain leaves."""
_ORDER = {LABEL["building"]: 1, LABEL["vegetation"]: 2, LABEL["trunk"]: 3}


def solid_labels(scene: Scene, grid: VoxelGrid, world_from_grid: Matrix) -> Labels:
    """Return the class of every voxel centre `[X, Y, Z]`: 0 in the air, 255 deep inside a block or below ground."""
    labels = np.zeros(grid.size, np.uint8)
    _lay_ground(labels, scene.ground, grid, world_from_grid)
    rotation, shift = world_from_grid[:3, :3], world_from_grid[:3, 3]
    solids = scene.world.solids
    # beams pass between leaves: a crown is not opaque
    leaves = np.random.default_rng(len(solids)).random(grid.size, np.float32) < LEAFY
    corners = (scene.world.corners - shift) @ rotation
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
            # a voxel is occupied if its centre is inside: solids thinner than half a voxel are grown
            grown = np.maximum(np.asarray(solid.radii) + _GROWN, 0.11)
            m = (solid.rotation.T / grown[:, None]) @ rotation
            c = (solid.rotation.T / grown[:, None]) @ (shift - solid.center)
            rows = [(m[k, 0] * x)[:, None, None] + (m[k, 1] * y)[:, None] + (m[k, 2] * z + c[k]) for k in range(3)]
            inside = rows[0] ** 2 + rows[1] ** 2 + rows[2] ** 2 <= 1
            if solid.paint is Paint.FOLIAGE:
                inside &= leaves[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
            part[inside] = solid.label
            continue
        n = solid.planes[:, :3] @ rotation
        c = solid.planes[:, :3] @ shift - solid.planes[:, 3]
        out = np.full(part.shape, -np.inf)
        for k in range(len(n)):
            np.maximum(out, (n[k, 0] * x)[:, None, None] + (n[k, 1] * y)[:, None] + (n[k, 2] * z + c[k]), out=out)
        part[out <= max(_GROWN, 0.11 - solid.half) + _WIDENED.get(solid.label, 0.0)] = solid.label
        part[out <= -_SHELL] = UNKNOWN
    return labels


def _lay_ground(labels: Labels, ground: Ground, grid: VoxelGrid, world_from_grid: Matrix) -> None:
    r, t = world_from_grid[:3, :3], world_from_grid[:3, 3]
    x, y = np.meshgrid(grid.axis_centers(0), grid.axis_centers(1), indexing="ij")
    height = np.zeros_like(x)
    for _ in range(3):
        coordinates = [r[a, 0] * x + r[a, 1] * y + r[a, 2] * height + t[a] for a in (0, 1, 2)]
        height += ground.height(coordinates[0], coordinates[1]) - coordinates[2]
    label = ground.label(coordinates[0].astype(np.float32), coordinates[1].astype(np.float32))
    # on a slope, all layers between a column and its neighbours are filled; returns vary by centimetres
    near = np.ones((3, 3), np.uint8)
    low, high = (height + cv2.erode(height, near)) / 2 - 0.016, (height + cv2.dilate(height, near)) / 2 + 0.016
    bottom, top = (np.floor((h - grid.origin[2]) / grid.resolution)[..., None] for h in (low, high))
    k = np.arange(grid.size[2])
    labels[k < bottom] = UNKNOWN
    at = (k >= bottom) & (k <= top)
    labels[at] = np.broadcast_to(label[..., None], at.shape)[at]
