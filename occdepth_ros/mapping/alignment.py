"""Brings the codes of a prediction onto the lattice of the map, by whole voxel columns.

A column of 32 voxels is 32 bytes. The affine warp of OpenCV copies the nearest column for every column of the map
(yaw and translation), and a shift of each column by whole voxels follows the height. Roll and pitch move the layers of
a column against each other: each eight layers get their own translation. Beyond `MAX_TILT` every voxel is looked up by
itself, which is exact and several times slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.grid import VoxelGrid

Codes = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
WORD = 8
"""Layers in one 64-bit word of a column."""
MAX_TILT = np.deg2rad(8.0)
"""Largest angle between the vertical axes of prediction and map for the warp by columns, radians."""


@dataclass(frozen=True)
class AlignedColumns:
    """Columns of the map that a prediction says something about.

    Args:
        x, y: lattice indices of the columns, `[N]` int64.
        codes: `[N, H]` uint8, from the lattice layer `z` up; H is the height of the map's window.
    """

    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    codes: Codes


def align(
    codes: Codes, grid: VoxelGrid, map_from_grid: Matrix, resolution: float, z: int, height: int
) -> AlignedColumns:
    """Codes of a prediction by columns of the map's lattice, whose cell (0, 0, 0) starts at the map's origin.

    Args:
        codes: `[X, Y, Z]` uint8, contiguous; Z is a multiple of 8.
        grid: where they lie, in the frame of the prediction.
        map_from_grid: pose of that frame in the map's frame, `[4, 4]`.
        resolution: edge of a voxel of both, metres.
        z: lowest lattice layer that is kept.
        height: number of layers that are kept, a multiple of 8.
    """
    rotation = map_from_grid[:3, :3]
    # lattice index (continuous, of centres) from grid index: w = rotation @ p + offset
    centre = rotation @ (np.asarray(grid.origin) + resolution / 2) + map_from_grid[:3, 3]
    offset = centre / resolution - 0.5
    if np.arccos(np.clip(rotation[2, 2], -1, 1)) > MAX_TILT:
        return _looked_up(codes, rotation, offset, z, height)
    return _warped(codes, rotation, offset, z, height)


def _bounds(
    size: tuple[int, ...], rotation: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    corners = np.array(
        [[i, j, k] for i in (-0.5, size[0] - 0.5) for j in (-0.5, size[1] - 0.5) for k in (-0.5, size[2] - 0.5)]
    )
    lattice = corners @ rotation.T + offset
    return np.floor(lattice.min(0)).astype(np.int64), np.ceil(lattice.max(0)).astype(np.int64) + 1


def _warped(codes: Codes, rotation: Matrix, offset: Matrix, z: int, height: int) -> AlignedColumns:
    flat = np.linalg.inv(rotation[:2, :2])
    low, high = _bounds(codes.shape, rotation, offset)
    words = codes.view(np.float64)  # [X, Y, Z / 8], only copied
    n_words = words.shape[2]
    shape = (int(high[1] - low[1]), int(high[0] - low[0]))
    columns = np.empty((shape[1], shape[0], n_words), np.float64)
    for word in range(n_words):
        # grid index of a lattice column where it meets the middle of these layers
        layer = WORD * word + (WORD - 1) / 2
        shift = -flat @ (offset[:2] + rotation[:2, 2] * layer - low[:2])
        # image axes are (column = y, row = x)
        matrix = np.array([[flat[1, 1], flat[1, 0], shift[1]], [flat[0, 1], flat[0, 0], shift[0]]])
        columns[:, :, word] = cv2.warpAffine(
            words[:, :, word], matrix, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=0
        )
    packed = columns.view(np.uint64).reshape(-1, n_words)
    kept = np.flatnonzero(np.bitwise_or.reduce(packed, axis=1))
    x, y = kept // shape[0] + low[0], kept % shape[0] + low[1]
    # lattice layer of a column's lowest voxel, measured at the column's middle
    middle = (codes.shape[2] - 1) / 2
    grid_xy = (np.stack([x, y], axis=1) - offset[:2] - rotation[:2, 2] * middle) @ flat.T
    bottom = grid_xy @ rotation[2, :2] + offset[2] + middle * (rotation[2, 2] - 1)
    start = np.rint(bottom).astype(np.int64) - z
    return AlignedColumns(x, y, _shifted(packed[kept], start, height))


def _shifted(words: npt.NDArray[np.uint64], start: npt.NDArray[np.int64], height: int) -> Codes:
    """Columns moved up by `start` layers each, `[N, W]` words to `[N, height]` bytes; what leaves is dropped."""
    count, n_words = words.shape
    n_out = height // WORD
    out = np.zeros((count, n_out), np.uint64)
    bits = (start % WORD * 8).astype(np.uint64)
    quotient = start // WORD
    # little endian: layer 0 is the lowest byte of a word
    low = words << bits[:, None]
    high = np.where(bits[:, None] > 0, words >> ((np.uint64(64) - bits) % np.uint64(64))[:, None], np.uint64(0))
    whole = np.zeros((count, n_words + 1), np.uint64)
    whole[:, :-1] = low
    whole[:, 1:] |= high
    for q in np.unique(quotient):
        rows = slice(None) if (quotient == q).all() else np.flatnonzero(quotient == q)
        first, last = max(0, -int(q)), min(n_words + 1, n_out - int(q))
        if first < last:
            out[rows, first + int(q) : last + int(q)] = whole[rows, first:last]
    return out.view(np.uint8)


def _looked_up(codes: Codes, rotation: Matrix, offset: Matrix, z: int, height: int) -> AlignedColumns:
    low, high = _bounds(codes.shape, rotation, offset)
    low[2], high[2] = max(low[2], z), min(high[2], z + height)
    inverse = rotation.T
    layers = np.arange(low[2], max(high[2], low[2]))
    flat = codes.ravel()
    xs, ys, columns = [], [], []
    ky = np.arange(low[1], high[1])
    for x in range(int(low[0]), int(high[0])):
        index = np.zeros((len(ky), len(layers)), np.int64)
        inside = np.ones(index.shape, bool)
        for axis, size in enumerate(codes.shape):
            base = inverse[axis, 0] * (x - offset[0]) - inverse[axis, 1] * offset[1] - inverse[axis, 2] * offset[2]
            value = np.rint(base + (inverse[axis, 1] * ky)[:, None] + inverse[axis, 2] * layers).astype(np.int64)
            inside &= (value >= 0) & (value < size)
            index = index * size + value
        found = np.where(inside, flat[np.where(inside, index, 0)], 0)
        rows = np.flatnonzero(found.any(axis=1))
        if len(rows):
            block = np.zeros((len(rows), height), np.uint8)
            block[:, low[2] - z : high[2] - z] = found[rows]
            xs.append(np.full(len(rows), x, np.int64))
            ys.append(ky[rows])
            columns.append(block)
    if not xs:
        return AlignedColumns(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, height), np.uint8))
    return AlignedColumns(np.concatenate(xs), np.concatenate(ys), np.concatenate(columns))
