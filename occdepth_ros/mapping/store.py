"""Blocks of the map outside its window, packed, within a limit of bytes.

A block of 16^3 voxels keeps every occupied voxel with all its fields, and one bit for each that is free: seen, or
completed. Blocks that left the window first are dropped first when the limit is reached.
"""

from __future__ import annotations

from collections.abc import ItemsView
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.mapping.config import BLOCK
from occdepth_ros.mapping.state import COMPLETED, SEEN

Key = tuple[int, int, int]
VOXELS = BLOCK**3
FREE_BYTES = VOXELS // 8
ENTRY_BYTES = 200
"""Memory of a block beside its payload: key, dictionary entry and object headers, measured with CPython 3.11."""

OCCUPIED = np.dtype(
    [
        ("index", "<u2"),
        ("seen", "i1"),
        ("completed", "i1"),
        ("label", "u1"),
        ("runner_up", "u1"),
        ("margin", "u1"),
        ("tick", "<u2"),
    ]
)
"""One occupied voxel of a packed block."""
FREE_STEPS = -20
"""Log-odds, in steps of `codes.UNIT`, that a free voxel gets when its block returns."""


@dataclass(frozen=True)
class BlockArrays:
    """Fields of one block's voxels in C order: `[4096, 2]` occupancy and `[4096]` each of the others."""

    occupancy: npt.NDArray[np.int8]
    label: npt.NDArray[np.uint8]
    runner_up: npt.NDArray[np.uint8]
    margin: npt.NDArray[np.uint8]
    tick: npt.NDArray[np.uint16]


def pack(block: BlockArrays) -> bytes:
    """Pack the fields of one block; empty where it holds no evidence."""
    seen, completed = block.occupancy[:, SEEN], block.occupancy[:, COMPLETED]
    if not block.occupancy.any():
        return b""
    free_seen = seen < 0
    occupied = (seen > 0) | ((seen == 0) & (completed > 0))
    free_completed = (seen == 0) & (completed < 0)
    index = np.flatnonzero(occupied)
    entries = np.empty(len(index), OCCUPIED)
    entries["index"], entries["seen"], entries["completed"] = index, seen[index], completed[index]
    for name in ("label", "runner_up", "margin", "tick"):
        entries[name] = getattr(block, name)[index]
    return np.packbits(free_seen).tobytes() + np.packbits(free_completed).tobytes() + entries.tobytes()


def unpack(payload: bytes) -> BlockArrays:
    """The fields of a packed block.

    Raises:
        ValueError: the payload has another length, or an index beyond the block.
    """
    rest = len(payload) - 2 * FREE_BYTES
    if rest < 0 or rest % OCCUPIED.itemsize:
        raise ValueError(f"a packed block of {len(payload)} bytes")
    entries = np.frombuffer(payload, OCCUPIED, offset=2 * FREE_BYTES)
    index = entries["index"]
    if len(index) and int(index.max()) >= VOXELS:
        raise ValueError(f"voxel {int(index.max())} of a block of {VOXELS}")
    occupancy = np.zeros((VOXELS, 2), np.int8)
    for axis in (SEEN, COMPLETED):
        bits = np.frombuffer(payload, np.uint8, FREE_BYTES, offset=axis * FREE_BYTES)
        occupancy[np.unpackbits(bits).view(bool), axis] = FREE_STEPS
    occupancy[index, SEEN], occupancy[index, COMPLETED] = entries["seen"], entries["completed"]
    label, runner_up, margin = (np.zeros(VOXELS, np.uint8) for _ in range(3))
    tick = np.zeros(VOXELS, np.uint16)
    for name, values in (("label", label), ("runner_up", runner_up), ("margin", margin), ("tick", tick)):
        values[index] = entries[name]
    return BlockArrays(occupancy, label, runner_up, margin, tick)


class BlockStore:
    """Packed blocks by their lattice position, oldest first.

    Args:
        max_bytes: limit of the memory that they take.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self.evicted = 0
        self._blocks: dict[Key, bytes] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def keys(self) -> list[Key]:
        """Positions of all blocks, in blocks from the lattice's origin."""
        return list(self._blocks)

    def items(self) -> ItemsView[Key, bytes]:
        """Positions and payloads of all blocks, oldest first."""
        return self._blocks.items()

    def put(self, key: Key, payload: bytes) -> None:
        """Keep a block as the newest one, and drop the oldest ones beyond the limit."""
        self.pop(key)
        if not payload:
            return
        self._blocks[key] = payload
        self.nbytes += len(payload) + ENTRY_BYTES
        while self.nbytes > self.max_bytes and self._blocks:
            self.pop(next(iter(self._blocks)))
            self.evicted += 1

    def replace(self, key: Key, payload: bytes) -> None:
        """Change the payload of a block without making it the newest; an empty payload removes it."""
        before = self._blocks.get(key)
        if before is None:
            return
        if not payload:
            self.pop(key)
            return
        self._blocks[key] = payload
        self.nbytes += len(payload) - len(before)

    def get(self, key: Key) -> bytes | None:
        """The payload of a block, None where there is none."""
        return self._blocks.get(key)

    def pop(self, key: Key) -> bytes | None:
        """Remove a block and return its payload, None where there is none."""
        payload = self._blocks.pop(key, None)
        if payload is not None:
            self.nbytes -= len(payload) + ENTRY_BYTES
        return payload

    def drop_beyond(self, center: tuple[float, float], distance: float, count: int) -> None:
        """Drop those of the `count` oldest blocks that lie farther away (in blocks, along x and y); keep the others."""
        for key in list(self._blocks)[:count] if distance > 0 else ():
            if max(abs(key[0] - center[0]), abs(key[1] - center[1])) > distance:
                self.pop(key)
                self.evicted += 1

    def clear(self) -> None:
        """Drop everything."""
        self._blocks.clear()
        self.nbytes = 0
