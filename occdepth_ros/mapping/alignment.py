"""Brings the codes of a prediction onto the lattice of the map, by whole voxel columns.

A column of 32 voxels is 32 bytes, four 64-bit words. The affine warp of OpenCV copies the nearest column for every
column of the map (yaw and translation), and each column gets a height of its own. Roll and pitch move the layers of a
column against each other: the columns are warped in as many parts, each with its own translation, as keep every voxel
within `MAX_SHEAR` of its place. Beyond `MAX_TILT` every voxel is looked up by itself, which is exact
and several times slower.
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
MAX_SHEAR = 0.56
"""Largest horizontal displacement of a voxel by warping parts of columns, voxels."""
MAX_TILT = np.deg2rad(8.0)
"""Largest angle between the vertical axes of prediction and map for the warp by columns, radians."""


@dataclass(frozen=True)
class AlignedColumns:
    """Columns of the map that a prediction says something about.

    Args:
        x, y: lattice indices of the columns, `[N]`.
        start: layer of the lowest voxel of each column, relative to the layer `z` of `align`, `[N]`; may be negative.
        words: `[N, W]` uint64, eight codes from low to high bytes.
    """

    x: Indices
    y: Indices
    start: Indices
    words: npt.NDArray[np.uint64]


def align(
    codes: Codes, grid: VoxelGrid, map_from_grid: Matrix, resolution: float, z: int, height: int
) -> AlignedColumns:
    """Codes of a prediction by columns of the map's lattice, whose cell (0, 0, 0) starts at the map's origin.

    Args:
        codes: `[X, Y, Z]` uint8, contiguous; Z is a multiple of 8.
        grid: where they lie, in the frame of the prediction.
        map_from_grid: pose of that frame in the map's frame, `[4, 4]`.
        resolution: edge of a voxel of both, metres.
        z: lowest lattice layer of the map's window.
        height: number of layers of the window, a multiple of 8.
    """
    rotation = map_from_grid[:3, :3]
    # lattice index (continuous, of centres) from grid index: w = rotation @ p + offset
    centre = rotation @ (np.asarray(grid.origin) + resolution / 2) + map_from_grid[:3, 3]
    offset = centre / resolution - 0.5
    if np.arccos(np.clip(rotation[2, 2], -1, 1)) > MAX_TILT:
        return _looked_up(codes, rotation, offset, z, height)
    return _warped(codes, rotation, offset, z)


def _bounds(
    size: tuple[int, ...], rotation: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    corners = np.array(
        [[i, j, k] for i in (-0.5, size[0] - 0.5) for j in (-0.5, size[1] - 0.5) for k in (-0.5, size[2] - 0.5)]
    )
    lattice = corners @ rotation.T + offset
    return np.floor(lattice.min(0)).astype(np.int64), np.ceil(lattice.max(0)).astype(np.int64) + 1


def _warped(codes: Codes, rotation: Matrix, offset: Matrix, z: int) -> AlignedColumns:
    flat = np.linalg.inv(rotation[:2, :2])
    low, high = _bounds(codes.shape, rotation, offset)
    words = codes.view(np.float64)  # [X, Y, Z / 8], only copied
    n_words = words.shape[2]
    shape = (int(high[1] - low[1]), int(high[0] - low[0]))
    columns = np.empty((shape[1], shape[0], n_words), np.float64)
    for first, last in _parts(n_words, float(np.linalg.norm(rotation[:2, 2]))):
        # grid index of a lattice column where it meets the middle of these layers
        layer = WORD * (first + last) / 2 - 0.5
        shift = -flat @ (offset[:2] + rotation[:2, 2] * layer - low[:2])
        # image axes are (column = y, row = x)
        matrix = np.array([[flat[1, 1], flat[1, 0], shift[1]], [flat[0, 1], flat[0, 0], shift[0]]])
        warped = cv2.warpAffine(
            words[:, :, first:last], matrix, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=0
        )
        if last - first == n_words:
            columns = np.asarray(warped, np.float64)
        else:
            columns[:, :, first:last] = warped.reshape(shape[1], shape[0], -1)
    packed = columns.view(np.uint64).reshape(-1, n_words)
    filled = packed[:, 0].copy()
    for word in range(1, n_words):
        filled |= packed[:, word]
    kept = np.flatnonzero(filled)
    row = kept // shape[0]
    x, y = row + low[0], kept - row * shape[0] + low[1]
    # lattice layer of a column's lowest voxel, measured at the column's middle; linear in x and y
    middle = (codes.shape[2] - 1) / 2
    slope = flat.T @ rotation[2, :2]
    constant = offset[2] + middle * (rotation[2, 2] - 1) - slope @ (offset[:2] + rotation[:2, 2] * middle) - z
    start = np.rint(x * slope[0] + (y * slope[1] + constant)).astype(np.int64)
    return AlignedColumns(x, y, start, packed.take(kept, axis=0))


def _parts(n_words: int, tilt: float) -> list[tuple[int, int]]:
    """First and last word of the parts in which columns are warped; OpenCV copies one, two or four words at once.

    Args:
        n_words: words of a column.
        tilt: sine of the angle between the vertical axes.
    """
    size = next((n for n in (4, 2) if n <= n_words and WORD * n / 2 * tilt <= MAX_SHEAR), 1)
    return [(first, min(first + size, n_words)) for first in range(0, n_words, size)]


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
        nothing = np.empty(0, np.int64)
        return AlignedColumns(nothing, nothing, nothing, np.empty((0, height // WORD), np.uint64))
    x_all = np.concatenate(xs)
    words = np.concatenate(columns).view(np.uint64)
    return AlignedColumns(x_all, np.concatenate(ys), np.zeros(len(x_all), np.int64), words)
