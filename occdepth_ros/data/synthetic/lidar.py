"""What labelled LiDAR scans tell of a street, which is how the benchmark's completion ground truth comes about.

A drive's scans, merged, say where surfaces are; what the frame's own scanner cannot look past these surfaces at is
unknown (Behley et al., SemanticKITTI, ICCV 2019, section 3.3). What a network must know of it to be right by that
measure, with numbers measured on real frames: surfaces are one or two voxels thin and go with the density of the
rings, nothing above the scanner's highest beam is occupied, and what is behind a surface, crowns and upper storeys
among it, is unknown rather than free.
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
"""Elevation of the outer beams of a Velodyne HDL-64E."""
RING = (HIGHEST - LOWEST) / 63
CLEAR, GLIMPSE = 0.8, 0.08
"""Shares of light: what counts as looked through, and what is enough for a beam."""
LEAVES = SEMANTIC_KITTI.id_of("vegetation")
SHADOWS = (0.4, 2.4)
"""Metres above the scanner between which lies, from street to street, where things cease to throw shadows: that depends
on how far off the scans of a drive saw them."""
REACH = 62.0
"""Beyond so many metres no return is counted on."""


def light_from(blocked: Mask, viewpoint: npt.ArrayLike) -> Light:
    """How much light of a place arrives in each voxel, 0..1: slice by slice away from it, along x and along y.

    Args:
        blocked: voxels that stop light, `[X, Y, Z]`.
        viewpoint: in voxels, centres at whole numbers.
    """
    clear = (~blocked).astype(np.float32)
    arrived = np.zeros(blocked.shape, np.float32)
    place = np.asarray(viewpoint, np.float64)
    for axis in (0, 1):
        volume, out = np.swapaxes(clear, 0, axis), np.swapaxes(arrived, 0, axis)
        at, side, up = float(place[axis]), float(place[1 - axis]), float(place[2])
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


def beside(space: Mask) -> Mask:
    """Voxels that share a face with `space`, `[X, Y, Z]`."""
    out = np.zeros_like(space)
    for axis in range(3):
        a, b = np.swapaxes(out, 0, axis), np.swapaxes(space, 0, axis)
        a[1:] |= b[:-1]
        a[:-1] |= b[1:]
    return out


def scanned(solid: Labels, grid: VoxelGrid, places: Matrix, own: int, rng: np.random.Generator) -> tuple[Labels, Mask]:
    """The ground truth that scans from several places give, and what is hidden from all of them and free.

    Scans seldom tell hidden space to be free, and a network that fills whatever is hidden is then never wrong. Here it
    is known, and given.

    Args:
        solid: class of every voxel, 255 inside of things and below the ground, `[X, Y, Z]`.
        grid: where they are, in the frame of the scanner at its own place.
        places: of the scanner in that frame, `[P, 3]` metres.
        own: which of them is the frame's.
        rng: for the luck of the rings.

    Returns:
        0 free, class ids, 255 unknown, `[X, Y, Z]`; and which of it the frame's own place sees.
    """
    top = int((places[own, 2] + rng.uniform(*SHADOWS) - grid.origin[2]) / grid.resolution)
    standing = solid != EMPTY
    layer = np.arange(grid.size[2])
    reached = layer <= _ceiling(grid, places)[..., None]
    # above that height nothing was found, and a network must learn that: its space is free, not unknown
    blocked = standing & (reached | (layer < top))
    voxel = (places - np.asarray(grid.origin)) / grid.resolution - 0.5
    free = light_from(blocked, voxel[own]) > CLEAR
    blocked &= reached
    # what stands above the highest beam stops the beams, too: cut off there, crowns and walls would let the uppermost
    # in over the steps of the cut, and be found all through
    near = beside(light_from(standing, voxel[own]) > GLIMPSE) & blocked
    hit = near.copy()
    for i in sorted({0, len(places) // 2, len(places) - 1} - {own}):
        hit |= beside(light_from(standing, voxel[i]) > GLIMPSE)
    hit &= blocked & (solid != UNKNOWN)
    # returns and poses scatter: the ground is found in both layers where it passes between two
    ground = SEMANTIC_KITTI.is_ground[solid]
    hit[..., :-1] |= hit[..., 1:] & ground[..., 1:] & ground[..., :-1]
    # beams reach into a crown by more than one voxel
    for _ in range(2):
        hit |= beside(hit & (solid == LEAVES)) & (solid == LEAVES) & blocked & (rng.random(hit.shape, np.float32) < 0.6)
    index = np.nonzero(hit)
    returned = _returns(grid.centers_of(np.stack(index, axis=1)), SEMANTIC_KITTI.is_ground[solid[index]], places, rng)
    out = np.full(grid.size, UNKNOWN, np.uint8)
    out[free | _airy(solid)] = EMPTY
    kept = tuple(i[returned] for i in index)
    out[kept] = solid[kept]
    # the benchmark's layers are one off, and the mask of unknown voxels wraps round: its lowest layer is the sky's
    out[..., 0] = np.where(out[..., -1] == UNKNOWN, np.uint8(UNKNOWN), np.uint8(EMPTY))
    return out, (free | near) & (out != UNKNOWN)


def _airy(solid: Labels) -> Mask:
    """Where nothing is, the gaps between the leaves of a crown left out, `[X, Y, Z]`."""
    leaves = solid == LEAVES
    outside = ~(leaves | beside(leaves))
    outside |= beside(outside)
    return outside & (solid == EMPTY)


def _ceiling(grid: VoxelGrid, places: Matrix) -> npt.NDArray[np.int64]:
    """The highest layer that any beam reaches, `[X, Y]`."""
    x, y = grid.axis_centers(0)[:, None], grid.axis_centers(1)[None, :]
    top = np.full(grid.size[:2], -np.inf)
    for p in places:
        np.maximum(top, p[2] + np.tan(HIGHEST) * np.hypot(x - p[0], y - p[1]), out=top)
    return np.floor((top - grid.origin[2]) / grid.resolution).astype(np.int64)


def _returns(points: Matrix, level: Mask, places: Matrix, rng: np.random.Generator) -> Mask:
    """Whether a ring crosses a voxel's surface from any of the places, `[N]`."""
    found = np.zeros(len(points), bool)
    p = points.astype(np.float32)
    for place in places:
        d = p - place.astype(np.float32)
        far = np.hypot(d[:, 0], d[:, 1])
        elevation = np.arctan2(d[:, 2], far)
        # the height that the voxel's surface shows to the scanner: its edge, or its length seen at a slant
        extent = 0.1 * np.where(level, np.abs(d[:, 2]) / far + 0.02, 1.0) / far
        ring = np.float32(rng.uniform()) + elevation / np.float32(RING)
        half = extent / np.float32(RING)
        crossed = np.floor(ring + half) != np.floor(ring - half)
        distance = np.hypot(far, d[:, 2])
        found |= crossed & (elevation < HIGHEST) & (elevation > LOWEST) & (distance > 2.0) & (distance < REACH)
    return found
