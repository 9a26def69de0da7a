"""Indices of the set voxels of a sparse boolean grid, and columns of voxels as bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.compiled import compiled

Words = npt.NDArray[np.uint64]
Index = npt.NDArray[np.intp]

_GATHER = np.uint64(0x0102040810204080)
_SEQUENCE = np.uint64(0x03F79D71B4CB0A89)
_POSITIONS = np.zeros(64, np.uint64)
for _position in range(64):
    _POSITIONS[(int(_SEQUENCE) << _position & (1 << 64) - 1) >> 58] = _position


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


def occupied_words(labels: npt.NDArray[np.uint8]) -> Words:
    """Return the occupied voxels of labels `[X, Y, Z]` as bits, `[X, Y, ceil(Z / 64)]`; see `column_words`."""
    nx, ny, nz = labels.shape
    if nz % 8:
        # the difference wraps around for free voxels
        occupied = (labels - np.uint8(1)) < np.uint8(UNKNOWN - 1)
        return column_words(occupied.reshape(nx * ny, nz)).reshape(nx, ny, -1)
    octets = np.zeros((nx, ny, -(-nz // 64) * 8), np.uint8)
    _occupied(np.ascontiguousarray(labels).view(np.uint64), octets)
    return octets.view(np.uint64)


@compiled
def count_bits(words: Words) -> int:
    """Return the number of set bits of `[X, Y, W]` words; numpy before 2.0 has no function for it."""
    count = 0
    pairs, fours, eights = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    ones = np.uint64(0x0101010101010101)
    for x in range(words.shape[0]):
        for y in range(words.shape[1]):
            for i in range(words.shape[2]):
                word = words[x, y, i]
                if word == 0:
                    continue
                # sums of neighbouring bits, of pairs, and of groups of four; the product adds the bytes
                word -= (word >> np.uint64(1)) & pairs
                word = (word & fours) + ((word >> np.uint64(2)) & fours)
                word = (word + (word >> np.uint64(4))) & eights
                count += int((word * ones) >> np.uint64(56))
    return count


@compiled
def _occupied(labels: Words, octets: npt.NDArray[np.uint8]) -> None:
    """Write one bit for each of eight labels: whether it is neither free (0) nor unknown (255)."""
    high, low, seven = np.uint64(0x8080808080808080), np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(7)
    for x in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for i in range(labels.shape[2]):
                word = labels[x, y, i]
                if word == 0 or ~word == 0:
                    continue
                # the highest bit of each byte: whether any bit of it is set, and whether any bit is clear
                is_set = ((word & low) + low) | word
                is_clear = ((~word & low) + low) | ~word
                # the product gathers one bit of each byte in its highest byte
                octets[x, y, i] = (((is_set & is_clear & high) >> seven) * _GATHER) >> np.uint64(56)


@compiled
def lowest_bit(word: Any) -> Any:
    """Return the position of the lowest set bit of a uint64 that is not 0."""
    # a multiplication by a de Bruijn sequence shifts one of 64 different patterns of 6 bits to the top
    return _POSITIONS[((word & (~word + np.uint64(1))) * _SEQUENCE) >> np.uint64(58)]
