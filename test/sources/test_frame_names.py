"""Order, gaps and times by file names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.sources.frame_names import assumed_stamps, frame_numbers, frame_order, stamps_of_names


@given(
    st.sets(st.integers(0, 10**6), min_size=1, max_size=20), st.integers(1, 8), st.sampled_from(["", "left_", "a1-"])
)
def test_any_padding_is_ordered_by_number_and_gaps_are_kept(numbers: set[int], digits: int, prefix: str) -> None:
    names = [f"{prefix}{number:0{digits}d}" for number in numbers]
    ordered = frame_order(names)
    expected = sorted(numbers)
    assert ordered == [f"{prefix}{number:0{digits}d}" for number in expected]
    np.testing.assert_array_equal(frame_numbers(ordered), expected)
    np.testing.assert_array_equal(assumed_stamps(ordered), (np.array(expected) - expected[0]) * 100_000_000)


def test_names_without_numbers_are_10_hz() -> None:
    assert frame_numbers(["a", "b"]) is None and frame_numbers(["a1", "b2"]) is None
    assert assumed_stamps(["a", "b", "c"]).tolist() == [0, 100_000_000, 200_000_000]


@pytest.mark.parametrize(
    "names",
    [
        ["1403636579.763555584", "1403636579.813555456"],
        ["1403636579763555584", "1403636579813555456"],
    ],
)
def test_names_that_are_unix_times(names: list[str]) -> None:
    assert assumed_stamps(names).tolist() == [1403636579763555584, 1403636579813555456]


def test_unix_times_in_coarser_units() -> None:
    assert np.asarray(stamps_of_names(["1403636579763"])).tolist() == [1403636579763000000]
    assert np.asarray(stamps_of_names(["1403636579763555"])).tolist() == [1403636579763555000]
    assert stamps_of_names(["0000000012", "0000000013"]) is None
