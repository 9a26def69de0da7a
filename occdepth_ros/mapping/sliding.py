"""Moves the window of the map by whole blocks: what leaves goes to the store, what was stored returns."""

from __future__ import annotations

from itertools import product

import numpy as np

from occdepth_ros.mapping.config import BLOCK
from occdepth_ros.mapping.state import Lattice, MapState
from occdepth_ros.mapping.store import BlockArrays, BlockStore, Key, pack, unpack


def slide(state: MapState, store: BlockStore, low: Lattice | None) -> None:
    """Move the window so that its lowest voxel is `low`; None fills a new window from the store.

    Args:
        state: the window, which is changed.
        store: where blocks go and come from.
        low: multiples of `BLOCK`.
    """
    if low is None:
        for key in _blocks(state.low, state.size):
            _restore(state, store, key)
        return
    before = set(_blocks(state.low, state.size))
    after = set(_blocks(low, state.size))
    for key in before - after:
        _leave(state, store, key)
    state.low = low
    if len(store):
        for key in after - before:
            _restore(state, store, key)


def packed_blocks(state: MapState) -> dict[Key, bytes]:
    """All blocks of the window that hold evidence, packed; the window stays as it is."""
    found = {key: pack(_read(state, key)) for key in _blocks(state.low, state.size)}
    return {key: payload for key, payload in found.items() if payload}


def fill(state: MapState, blocks: dict[Key, bytes]) -> None:
    """Write packed blocks, all of which lie inside it, into a window."""
    for key, payload in blocks.items():
        _write(state, key, payload)


def _blocks(low: Lattice, size: Lattice) -> list[Key]:
    ranges = [range(a // BLOCK, (a + n) // BLOCK) for a, n in zip(low, size, strict=True)]
    return list(product(*ranges))  # type: ignore[arg-type]


def _place(state: MapState, key: Key) -> tuple[slice, slice, slice]:
    x, y, z = (k * BLOCK % n for k, n in zip(key, state.size, strict=True))
    return slice(x, x + BLOCK), slice(y, y + BLOCK), slice(z, z + BLOCK)


def _read(state: MapState, key: Key) -> BlockArrays:
    where = _place(state, key)
    occupancy, *fields = (a[where] for a in state.arrays())
    return BlockArrays(occupancy.reshape(-1, 2), *(f.reshape(-1) for f in fields))  # type: ignore[arg-type]


def _leave(state: MapState, store: BlockStore, key: Key) -> None:
    where = _place(state, key)
    if not np.any(state.occupancy[where]):
        return
    store.put(key, pack(_read(state, key)))
    for array in state.arrays():
        array[where] = 0


def _restore(state: MapState, store: BlockStore, key: Key) -> None:
    payload = store.pop(key)
    if payload is not None:
        _write(state, key, payload)


def _write(state: MapState, key: Key, payload: bytes) -> None:
    where = _place(state, key)
    block = unpack(payload)
    shape = (BLOCK, BLOCK, BLOCK)
    state.occupancy[where] = block.occupancy.reshape(*shape, 2)
    for name in ("label", "runner_up", "margin", "tick"):
        getattr(state, name)[where] = getattr(block, name).reshape(shape)
