"""Order of the scenes: rounds, devices, validation."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from occdepth_ros.training.data import RoundSampler, ValidationSampler


def places(sampler: RoundSampler, rounds: Sequence[int]) -> list[tuple[int, int]]:
    out = []
    for number in rounds:
        sampler.set_epoch(number)
        found = list(sampler)
        assert len(found) == len(sampler)
        out += found
    return out


def test_rounds_cover_epochs_without_gaps() -> None:
    found = places(RoundSampler(5, 4, seed=1), range(5))
    assert Counter(found) == Counter((epoch, index) for epoch in range(4) for index in range(5))
    assert found[4:8] == places(RoundSampler(5, 4, seed=1), [1])
    assert [i for e, i in found if e == 0] != [i for e, i in found if e == 1]


def test_devices_share_a_round() -> None:
    whole = places(RoundSampler(5, 6, seed=1), range(3))
    parts = [places(RoundSampler(5, 6, seed=1, rank=rank, devices=3), range(3)) for rank in range(3)]
    assert Counter(whole) == Counter(itertools.chain(*parts))
    assert [whole[rank::3] for rank in range(3)] == parts


def test_validation_scenes_are_evenly_spread_and_shared_among_devices() -> None:
    assert list(ValidationSampler(10, 4)) == [(0, 0), (0, 2), (0, 5), (0, 7)]
    parts = [list(ValidationSampler(7, rank=rank, devices=3)) for rank in range(3)]
    assert sorted(itertools.chain(*parts)) == [(0, i) for i in range(7)]
    assert len(ValidationSampler(3, 8)) == 3
