"""Bits of occupied voxels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from occdepth_ros.outputs.sparse import count_bits


@given(hnp.arrays(np.uint64, st.tuples(*[st.integers(0, 3)] * 3), elements=st.integers(0, 2**64 - 1)))
def test_bits_are_counted(words: npt.NDArray[np.uint64]) -> None:
    assert count_bits(words) == np.unpackbits(words.view(np.uint8)).sum()
