"""Packed blocks: equal after a round trip, refused when damaged, and bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.mapping.config import BLOCK
from occdepth_ros.mapping.state import Voxels
from occdepth_ros.mapping.store import ENTRY_BYTES, BlockStore, pack, unpack

SHAPE = (BLOCK, BLOCK, BLOCK)


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_packed_blocks_survive_a_round_trip(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    seen, completed = np.where(rng.random((2, *SHAPE)) < share, rng.integers(-100, 127, (2, *SHAPE)), 0).astype(np.int8)
    label, runner_up, margin = rng.integers(0, 20, (3, *SHAPE)).astype(np.uint8)
    tick = rng.integers(0, 65536, SHAPE).astype(np.uint16)
    payload = pack(Voxels(seen, completed, label, runner_up, margin, tick))
    if not (seen.any() or completed.any()):
        assert payload == b""
        return
    block = Voxels(*(np.full(SHAPE, 7, array.dtype) for array in Voxels.empty(SHAPE)))
    unpack(payload, block)
    state = np.where(seen != 0, seen, completed)
    again = np.where(block.seen != 0, block.seen, block.completed)
    assert np.array_equal(np.sign(state), np.sign(again))
    occupied = state > 0
    assert np.array_equal(block.seen[occupied], seen[occupied])
    assert np.array_equal(block.label[occupied], label[occupied])
    assert np.array_equal(block.tick[occupied], tick[occupied])
    assert pack(block, clear=True) == payload
    assert not any(array.any() for array in block)


def test_damaged_payloads_are_refused() -> None:
    block = Voxels.empty(SHAPE)
    with pytest.raises(ValueError, match="bytes"):
        unpack(b"\0" * 1023, block)
    with pytest.raises(ValueError, match="voxel"):
        unpack(b"\0" * 1024 + b"\xff" * 9, block)


def test_the_oldest_blocks_go_first() -> None:
    store = BlockStore(3 * (100 + ENTRY_BYTES))
    for i in range(5):
        store.put((i, 0, 0), b"x" * 100)
        assert store.nbytes <= store.max_bytes
    assert store.keys() == [(2, 0, 0), (3, 0, 0), (4, 0, 0)] and store.evicted == 2
    store.put((2, 0, 0), b"y" * 100)
    assert store.keys()[-1] == (2, 0, 0) and store.get((2, 0, 0)) == b"y" * 100
    store.drop_beyond((4.0, 0.0), 1.5, 10)
    assert store.keys() == [(3, 0, 0), (4, 0, 0)]
    store.clear()
    assert len(store) == 0 and store.nbytes == 0
