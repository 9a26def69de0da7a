"""Moves the window of the map by whole blocks: leaving blocks go to the store, stored blocks return."""

from __future__ import annotations

from occdepth_ros.mapping.state import Lattice, MapState
from occdepth_ros.mapping.store import BlockStore, Key, pack, unpack


def slide(state: MapState, store: BlockStore, low: Lattice | None) -> None:
    """Move the window so that its lowest voxel is `low`; None fills a new window from the store.

    Args:
        state: the window, which is changed.
        store: store of the blocks outside the window.
        low: multiples of `BLOCK`.
    """
    before = set(state.block_keys()) if low is not None else set()
    if low is not None:
        after = set(MapState(state.size, low, state.voxels).block_keys())
        for key in before - after:
            store.put(key, pack(state.block(key), clear=True))
        state.low = low
    if len(store):
        for key in set(state.block_keys()) - before:
            payload = store.pop(key)
            if payload is not None:
                unpack(payload, state.block(key))


def packed_blocks(state: MapState) -> dict[Key, bytes]:
    """Return all blocks of the window that hold evidence, packed; the window stays as it is."""
    found = {key: pack(state.block(key)) for key in state.block_keys()}
    return {key: payload for key, payload in found.items() if payload}


def fill(state: MapState, blocks: dict[Key, bytes]) -> None:
    """Write packed blocks into a window that contains all of them."""
    for key, payload in blocks.items():
        unpack(payload, state.block(key))
