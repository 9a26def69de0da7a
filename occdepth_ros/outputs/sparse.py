"""Indices of the set voxels of a sparse boolean grid, and columns of voxels as bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]


def set_voxels(mask: npt.NDArray[np.bool_]) -> Index:
    """Return the flat indices of the True elements in ascending order, `[N]`.

    Groups of eight voxels are tested first, because most groups of a sparse grid are empty.
    """
    flat = np.ascontiguousarray(mask).reshape(-1)
    if flat.size % 8:
        return np.flatnonzero(flat)
    groups = np.flatnonzero(flat.view(np.uint64) != 0)
    within = np.flatnonzero(flat.reshape(-1, 8).take(groups, axis=0))
    return (groups.take(within >> 3) << 3) + (within & 7)


def unravel(flat: Index, shape: tuple[int, int, int]) -> tuple[Index, Index, Index]:
    """Return the voxel indices x, y, z, `[N]` each, of flat indices `[N]`."""
    # numpy vectorises division by a scalar, but not divmod.
    column = flat // shape[2]
    x = column // shape[1]
    return x, column - x * shape[1], flat - column * shape[2]


def column_words(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Pack columns `[N, Z]` into words of 64 layers, `[N, ceil(Z / 64)]`; the lowest layer is the lowest bit."""
    columns, layers = mask.shape
    words = np.zeros((columns, -(-layers // 64)), np.uint64)
    # np.packbits is much faster without an axis.
    if layers % 8:
        octets = np.packbits(mask, axis=1, bitorder="little")
    else:
        octets = np.packbits(mask, bitorder="little").reshape(columns, layers // 8)
    words.view(np.uint8)[:, : octets.shape[1]] = octets
    return words
