"""Blocks of the map outside its window, packed, within a limit of bytes.

A block of 16^3 voxels stores all fields of each occupied voxel, and one bit for each free voxel: seen, or completed.
When the limit is reached, the blocks that left the window first are dropped first.
"""

from __future__ import annotations

from collections.abc import ItemsView

import numpy as np

from occdepth_ros.compiled import compiled
from occdepth_ros.mapping.config import BLOCK
from occdepth_ros.mapping.state import Bytes, Voxels

Key = tuple[int, int, int]
VOXELS = BLOCK**3
FREE_BYTES = VOXELS // 8
ENTRY_BYTES = 200
"""Memory of a block in addition to its payload: key, dictionary entry, object headers; measured with CPython 3.11."""

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
ENTRY = OCCUPIED.itemsize
FREE_STEPS = -20
"""Log-odds, in steps of `codes.UNIT`, that a free voxel gets when its block returns."""


def pack(block: Voxels, *, clear: bool = False) -> bytes:
    """Pack the fields of one block, `[16, 16, 16]`; empty if it holds no evidence.

    Args:
        block: the fields.
        clear: whether to remove all evidence from the block.
    """
    out = np.zeros(2 * FREE_BYTES + VOXELS * OCCUPIED.itemsize, np.uint8)
    return out[: _pack(block, out, clear)].tobytes()


def unpack(payload: bytes, block: Voxels) -> None:
    """Write a packed block into the fields `[16, 16, 16]`.

    Raises:
        ValueError: the payload has a wrong length, or an index outside the block; the fields are unchanged.
    """
    check(payload)
    _unpack(np.frombuffer(payload, np.uint8), block)


def check(payload: bytes) -> None:
    """Check the length of a packed block and the indices in it.

    Raises:
        ValueError: the payload is not a packed block.
    """
    rest = len(payload) - 2 * FREE_BYTES
    if rest < 0 or rest % OCCUPIED.itemsize:
        raise ValueError(f"a packed block of {len(payload)} bytes")
    index = np.frombuffer(payload, OCCUPIED, offset=2 * FREE_BYTES)["index"]
    if len(index) and int(index.max()) >= VOXELS:
        raise ValueError(f"voxel {int(index.max())} of a block of {VOXELS}")


@compiled
def _pack(block: Voxels, out: Bytes, clear: bool) -> int:
    """Pack a block into `out`, which is zero, and return the number of bytes, 0 without evidence."""
    end = 2 * FREE_BYTES
    is_empty = True
    for i in range(VOXELS):
        x, y, z = i // (BLOCK * BLOCK), i // BLOCK % BLOCK, i % BLOCK
        seen, completed = block.seen[x, y, z], block.completed[x, y, z]
        if seen == 0 and completed == 0:
            continue
        is_empty = False
        if seen > 0 or (seen == 0 and completed > 0):
            tick = block.tick[x, y, z]
            out[end], out[end + 1] = i & 255, i >> 8
            out[end + 2], out[end + 3] = np.uint8(seen), np.uint8(completed)
            out[end + 4], out[end + 5] = block.label[x, y, z], block.runner_up[x, y, z]
            out[end + 6], out[end + 7], out[end + 8] = block.margin[x, y, z], tick & 255, tick >> 8
            end += ENTRY
        else:
            out[(0 if seen < 0 else FREE_BYTES) + (i >> 3)] |= 128 >> (i & 7)
        if clear:
            block.seen[x, y, z] = block.completed[x, y, z] = 0
    if clear:
        for x in range(BLOCK):
            for y in range(BLOCK):
                block.label[x, y] = block.runner_up[x, y] = block.margin[x, y] = block.tick[x, y] = 0
    return 0 if is_empty else end


@compiled
def _unpack(payload: Bytes, block: Voxels) -> None:
    for i in range(VOXELS):
        x, y, z = i // (BLOCK * BLOCK), i // BLOCK % BLOCK, i % BLOCK
        bit = 128 >> (i & 7)
        block.seen[x, y, z] = FREE_STEPS if payload[i >> 3] & bit else 0
        block.completed[x, y, z] = FREE_STEPS if payload[FREE_BYTES + (i >> 3)] & bit else 0
        block.label[x, y, z] = block.runner_up[x, y, z] = block.margin[x, y, z] = block.tick[x, y, z] = 0
    for entry in range(2 * FREE_BYTES, payload.size, ENTRY):
        i = payload[entry] | payload[entry + 1] << 8
        x, y, z = i // (BLOCK * BLOCK), i // BLOCK % BLOCK, i % BLOCK
        block.seen[x, y, z], block.completed[x, y, z] = np.int8(payload[entry + 2]), np.int8(payload[entry + 3])
        block.label[x, y, z], block.runner_up[x, y, z] = payload[entry + 4], payload[entry + 5]
        block.margin[x, y, z], block.tick[x, y, z] = payload[entry + 6], payload[entry + 7] | payload[entry + 8] << 8


class BlockStore:
    """Packed blocks by their lattice position, oldest first.

    Args:
        max_bytes: upper bound of their memory, bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self.evicted = 0
        self._blocks: dict[Key, bytes] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def keys(self) -> list[Key]:
        """Return the positions of all blocks, in blocks from the lattice's origin."""
        return list(self._blocks)

    def items(self) -> ItemsView[Key, bytes]:
        """Return the positions and payloads of all blocks, oldest first."""
        return self._blocks.items()

    def put(self, key: Key, payload: bytes) -> None:
        """Store a block as the newest one, and drop the oldest blocks above the limit."""
        self.pop(key)
        if not payload:
            return
        self._blocks[key] = payload
        self.nbytes += len(payload) + ENTRY_BYTES
        while self.nbytes > self.max_bytes and self._blocks:
            self.pop(next(iter(self._blocks)))
            self.evicted += 1

    def replace(self, key: Key, payload: bytes) -> None:
        """Change the payload of a block without changing the order of age; an empty payload removes the block."""
        before = self._blocks.get(key)
        if before is None:
            return
        if not payload:
            self.pop(key)
            return
        self._blocks[key] = payload
        self.nbytes += len(payload) - len(before)

    def get(self, key: Key) -> bytes | None:
        """Return the payload of a block, None if there is none."""
        return self._blocks.get(key)

    def pop(self, key: Key) -> bytes | None:
        """Remove a block and return its payload, None if there is none."""
        payload = self._blocks.pop(key, None)
        if payload is not None:
            self.nbytes -= len(payload) + ENTRY_BYTES
        return payload

    def drop_beyond(self, center: tuple[float, float], distance: float, count: int) -> None:
        """Drop blocks farther away than a distance (in blocks, along x and y), among the `count` oldest ones."""
        for key in list(self._blocks)[:count] if distance > 0 else ():
            if max(abs(key[0] - center[0]), abs(key[1] - center[1])) > distance:
                self.pop(key)
                self.evicted += 1

    def clear(self) -> None:
        """Drop all blocks."""
        self._blocks.clear()
        self.nbytes = 0
