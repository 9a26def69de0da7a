"""Pairs of one moment: no image twice, no neighbour in place of a lost image, recordings and live streams alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.sources.pairing import PairMatcher, mutual_nearest, pair_stamps, period_ns, tolerance_ns

MS = 1_000_000
START = 1_700_000_000_000_000_000


@st.composite
def moments(draw: st.DrawFn) -> list[tuple[bool, bool]]:
    """Whether the left and the right image of each moment was received; one side lost at most a quarter."""
    count = draw(st.integers(12, 60))
    few = draw(st.sets(st.integers(0, count - 1), max_size=count // 4))
    many = draw(st.sets(st.integers(0, count - 1)))
    lost = (few, many) if draw(st.booleans()) else (many, few)
    return [(i not in lost[0], i not in lost[1]) for i in range(count)]


def streams(
    seen: list[tuple[bool, bool]], rate: float, offset: float, seed: int
) -> tuple[list[int], list[int], list[int]]:
    """Stamps of both sides and the moments that both have; jitter is below 3 % of the period."""
    rng = np.random.default_rng(seed)
    sides: tuple[list[int], list[int]] = ([], [])
    for i, received in enumerate(seen):
        for side in (0, 1):
            jitter = (rng.uniform(-0.03, 0.03) + offset * side) / rate
            if received[side]:
                sides[side].append(START + round((i / rate + jitter) * 1e9))
    return sides[0], sides[1], [i for i, received in enumerate(seen) if all(received)]


def moment(stamp: int, rate: float) -> int:
    return round((stamp - START) * 1e-9 * rate)


@given(moments(), st.sampled_from([10.0, 30.0, 60.0, 90.0]), st.floats(-0.2, 0.2), st.integers(0, 99))
def test_both_images_of_a_pair_show_the_same_moment(
    seen: list[tuple[bool, bool]], rate: float, offset: float, seed: int
) -> None:
    left, right, both = streams(seen, rate, min(offset, 0.018 * rate), seed)
    pairing = pair_stamps(left, right)
    found = [(moment(left[i], rate), moment(right[j], rate)) for i, j in pairing.pairs]
    assert all(a == b for a, b in found)
    assert {a for a, _ in found} <= set(both)
    assert pairing.dropped == (len(left) - len(found), len(right) - len(found))


@given(st.sampled_from([30.0, 60.0, 90.0]), st.integers(0, 9999), st.integers(0, 3))
def test_live_pairs_are_those_of_the_recording(rate: float, seed: int, delay: int) -> None:
    """One side arrives 0 to 15 ms late; until the period is measured the live tolerance is smaller."""
    seen = [(bool(a), bool(b)) for a, b in np.random.default_rng(seed).random((60, 2)) > (0.1, 0.3)]
    left, right, both = streams(seen, rate, 0.05, seed)
    recorded = {(left[i], right[j]) for i, j in pair_stamps(left, right).pairs}
    events = sorted([(stamp, 0, stamp) for stamp in left] + [(stamp + delay * 5 * MS, 1, stamp) for stamp in right])
    matcher: PairMatcher[int] = PairMatcher(exact=False, queue_size=10)
    live = [pair for _, side, stamp in events for pair in matcher.add(side, stamp, stamp)]
    assert set(live) <= recorded and len(set(live)) == len(live)
    assert all(moment(a, rate) == moment(b, rate) for a, b in live)
    assert len(live) >= len(both) - 8
    lost = [len(side) - len(live) for side in (left, right)]
    assert sum(matcher.dropped) + matcher.waiting == sum(lost)


@given(st.lists(st.integers(0, 40), max_size=12), st.lists(st.integers(0, 40), max_size=12), st.integers(0, 15))
def test_mutual_nearest_agrees_with_its_definition(left: list[int], right: list[int], tolerance: int) -> None:
    a, b = sorted(set(left)), sorted(set(right))

    def nearest(stamp: int, others: list[int]) -> int:
        return min(others, key=lambda other: (abs(other - stamp), other))

    expected = [
        (i, b.index(r))
        for i, s in enumerate(a)
        if b and abs((r := nearest(s, b)) - s) <= tolerance and nearest(r, a) == s
    ]
    assert mutual_nearest(a, b, tolerance) == expected


def test_every_second_right_image_lost_at_60_hz() -> None:
    left = [START + round(i * 1e9 / 60) for i in range(6)]
    pairing = pair_stamps(left, left[::2])
    assert pairing.pairs == [(0, 0), (2, 1), (4, 2)]
    assert pairing.dropped == (3, 0)
    assert 2 * pairing.tolerance_ns < 1e9 / 60


def test_every_second_image_of_both_sides_lost_in_turn() -> None:
    left = [START + round(i * 1e9 / 60) for i in range(0, 20, 2)]
    right = [START + round(i * 1e9 / 60) for i in range(1, 20, 2)]
    assert pair_stamps(left, right).pairs == []


def test_equal_stamps_of_one_side_count_once() -> None:
    left = [0, 100 * MS, 100 * MS, 200 * MS]
    pairing = pair_stamps(left, [0, 100 * MS, 200 * MS])
    assert [left[i] for i, _ in pairing.pairs] == [0, 100 * MS, 200 * MS]
    assert (pairing.dropped, pairing.repeated) == ((0, 0), (1, 0))
    (warning,) = pairing.warnings("bag")
    assert warning.name == "repeated_stamps" and "1 left and 0 right" in str(warning)
    matcher: PairMatcher[str] = PairMatcher(exact=True)
    events = [(0, 5, "a"), (0, 5, "b"), (1, 5, "c"), (1, 5, "d"), (0, 6, "e"), (1, 6, "f")]
    assert list(itertools.chain(*(matcher.add(*event) for event in events))) == [("a", "c"), ("e", "f")]
    assert matcher.dropped == [1, 1]


@pytest.mark.parametrize(
    ("periods", "expected"), [((None, None), 4), ((100, None), 20), ((100, 10), 4), ((16, 33), 6.4)]
)
def test_the_tolerance_is_below_half_of_the_shorter_period(
    periods: tuple[int | None, int | None], expected: float
) -> None:
    assert tolerance_ns([None if p is None else p * MS for p in periods]) == expected * MS


def test_the_period_ignores_lost_and_repeated_images() -> None:
    assert period_ns([0, 10, 20, 20, 50, 60, 70]) == 10
    assert period_ns([7, 7]) is None
