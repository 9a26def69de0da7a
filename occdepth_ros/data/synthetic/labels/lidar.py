"""Completion ground truth as from labelled LiDAR scans of a drive (Behley et al., SemanticKITTI, ICCV 2019, 3.3).

Merged scans locate the surfaces; space that they hide from the scanner of the frame is unknown. The following
properties of such labels are modelled after statistics of real frames: surfaces are one or two voxels thick and as
dense as the rings of the scanner; no voxel above the highest beam is occupied; space behind a surface, such as in
crowns and behind upper storeys, is unknown rather than free.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.grid import VoxelGrid

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Light = npt.NDArray[np.float32]
HIGHEST, LOWEST = np.deg2rad(2.2), np.deg2rad(-24.8)
"""Elevation of the highest and the lowest beam of a Velodyne HDL-64E."""
RING = (HIGHEST - LOWEST) / 63
CLEAR, PARTIAL = 0.8, 0.08
"""Shares of light above which a voxel counts as traversed, and above which a beam reaches it."""
LEAVES = SEMANTIC_KITTI.id_of("vegetation")
SHADOWS = (0.4, 2.4)
"""Range of the height above the scanner, metres, above which solids do not hide space; it varies between drives with
the distance of the scans from the solids."""
MAX_RANGE = 62.0
"""Distance beyond which there are no returns, metres."""


def propagate_light(blocked: Mask, viewpoint: npt.ArrayLike) -> Light:
    """Return the share of light from a viewpoint that reaches each voxel, 0..1, propagated in slices along x and y.

    Args:
        blocked: opaque voxels, `[X, Y, Z]`.
        viewpoint: position in voxels, with voxel centres at integers.
    """
    clear = (~blocked).astype(np.float32)
    arrived = np.zeros(blocked.shape, np.float32)
    center = np.asarray(viewpoint, np.float64)
    for axis in (0, 1):
        volume, out = np.swapaxes(clear, 0, axis), np.swapaxes(arrived, 0, axis)
        at, side, up = float(center[axis]), float(center[1 - axis]), float(center[2])
        count, width, tall = volume.shape
        for step in (1, -1):
            start = max(int(np.floor(at)) + 1, 0) if step > 0 else min(int(np.ceil(at)) - 1, count - 1)
            if not 0 <= start < count:
                continue
            first, light = 0, np.ascontiguousarray(volume[start])
            for i in range(start, count if step > 0 else -1, step):
                reach = abs(i - at) + 1
                rows = slice(min(max(int(side - reach), 0), width), min(max(int(side + reach) + 2, 0), width))
                if rows.start >= rows.stop:
                    continue
                if i == start:
                    light = light[rows]
                else:
                    s = (i - step - at) / (i - at)
                    to_previous = np.array([[s, 0, up * (1 - s)], [0, s, s * rows.start + side * (1 - s) - first]])
                    moved = cv2.warpAffine(
                        light,
                        to_previous,
                        (tall, rows.stop - rows.start),
                        flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR,
                        borderMode=cv2.BORDER_REPLICATE,
                    )
                    light = np.asarray(moved * volume[i, rows], np.float32)
                first = rows.start
                np.maximum(out[i, rows], light, out=out[i, rows])
    return arrived


def neighbours(space: Mask) -> Mask:
    """Return the voxels that share a face with a voxel of `space`, `[X, Y, Z]`."""
    out = np.zeros_like(space)
    for axis in range(3):
        a, b = np.swapaxes(out, 0, axis), np.swapaxes(space, 0, axis)
        a[1:] |= b[:-1]
        a[:-1] |= b[1:]
    return out


def lidar_labels(
    solid: Labels, grid: VoxelGrid, positions: Matrix, reference: int, rng: np.random.Generator
) -> tuple[Labels, Mask]:
    """Compute the ground truth of merged scans from several positions.

    Real scans rarely label hidden space as free, so a network that fills all hidden space is not penalized. Here hidden
    free space is labelled as free.

    Args:
        solid: class of every voxel, 255 inside solids and below the ground, `[X, Y, Z]`.
        grid: grid of the voxels, in the frame of the scanner at its reference position.
        positions: positions of the scanner in that frame, `[P, 3]` metres.
        reference: index of the reference position.
        rng: random generator of the phases of the rings.

    Returns:
        0 free, class ids, 255 unknown, `[X, Y, Z]`; and the voxels visible to the scan at the reference position.
    """
    top = int((positions[reference, 2] + rng.uniform(*SHADOWS) - grid.origin[2]) / grid.resolution)
    standing = solid != EMPTY
    layer = np.arange(grid.size[2])
    reached = layer <= _ceiling(grid, positions)[..., None]
    # space above the highest beam is labelled free, not unknown, as in the benchmark
    blocked = standing & (reached | (layer < top))
    voxel = (positions - np.asarray(grid.origin)) / grid.resolution - 0.5
    free = propagate_light(blocked, voxel[reference]) > CLEAR
    blocked &= reached
    # solids above the highest beam block beams, too: otherwise the uppermost beams would enter crowns and walls at the
    # steps of the ceiling and label their interior
    near = neighbours(propagate_light(standing, voxel[reference]) > PARTIAL) & blocked
    hit = near.copy()
    for i in sorted({0, len(positions) // 2, len(positions) - 1} - {reference}):
        hit |= neighbours(propagate_light(standing, voxel[i]) > PARTIAL)
    hit &= blocked & (solid != UNKNOWN)
    # returns and poses vary randomly: ground between two layers is labelled in both
    ground = SEMANTIC_KITTI.is_ground[solid]
    hit[..., :-1] |= hit[..., 1:] & ground[..., 1:] & ground[..., :-1]
    # beams enter a crown by more than one voxel
    for _ in range(2):
        hit |= (
            neighbours(hit & (solid == LEAVES))
            & (solid == LEAVES)
            & blocked
            & (rng.random(hit.shape, np.float32) < 0.6)
        )
    index = np.nonzero(hit)
    returned = _returns(
        grid.centers_of(np.stack(index, axis=1)), SEMANTIC_KITTI.is_ground[solid[index]], positions, rng
    )
    out = np.full(grid.size, UNKNOWN, np.uint8)
    out[free | outside_crowns(solid)] = EMPTY
    kept = tuple(i[returned] for i in index)
    out[kept] = solid[kept]
    # the benchmark's layers are shifted by one and its mask of unknown voxels wraps around: the lowest layer has the
    # mask of the sky
    out[..., 0] = np.where(out[..., -1] == UNKNOWN, np.uint8(UNKNOWN), np.uint8(EMPTY))
    return out, (free | near) & (out != UNKNOWN)


def outside_crowns(solid: Labels) -> Mask:
    """Return the free voxels except the gaps between the leaves of crowns, `[X, Y, Z]`."""
    leaves = solid == LEAVES
    outside = ~(leaves | neighbours(leaves))
    outside |= neighbours(outside)
    return outside & (solid == EMPTY)


def _ceiling(grid: VoxelGrid, positions: Matrix) -> npt.NDArray[np.int64]:
    """Return the highest layer that any beam reaches, `[X, Y]`."""
    x, y = grid.axis_centers(0)[:, None], grid.axis_centers(1)[None, :]
    top = np.full(grid.size[:2], -np.inf)
    for p in positions:
        np.maximum(top, p[2] + np.tan(HIGHEST) * np.hypot(x - p[0], y - p[1]), out=top)
    return np.floor((top - grid.origin[2]) / grid.resolution).astype(np.int64)


def _returns(points: Matrix, level: Mask, positions: Matrix, rng: np.random.Generator) -> Mask:
    """Return whether a ring of the scanner at any of the positions crosses a voxel's surface, `[N]`."""
    found = np.zeros(len(points), bool)
    p = points.astype(np.float32)
    for position in positions:
        d = p - position.astype(np.float32)
        far = np.hypot(d[:, 0], d[:, 1])
        elevation = np.arctan2(d[:, 2], far)
        # apparent height of the voxel's surface from the scanner: its edge, or its length at the angle of incidence
        extent = 0.1 * np.where(level, np.abs(d[:, 2]) / far + 0.02, 1.0) / far
        ring = np.float32(rng.uniform()) + elevation / np.float32(RING)
        half = extent / np.float32(RING)
        crossed = np.floor(ring + half) != np.floor(ring - half)
        distance = np.hypot(far, d[:, 2])
        found |= crossed & (elevation < HIGHEST) & (elevation > LOWEST) & (distance > 2.0) & (distance < MAX_RANGE)
    return found
