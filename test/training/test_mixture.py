"""Mixtures of data sets: shares, order, devices, errors."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.errors import TrainingError
from occdepth_ros.training.data import RoundSampler
from occdepth_ros.training.mixture import MixedScenes, Mixture


class Named:
    """Scenes with a name and an index."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> SceneExample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return replace(scene(), name=f"{self.name}{index}")


def places(sampler: RoundSampler, rounds: range) -> list[tuple[int, int]]:
    out = []
    for number in rounds:
        sampler.set_epoch(number)
        out += list(sampler)
    return out


def test_a_mixture_concatenates_its_data_sets() -> None:
    mixed = MixedScenes([Named("a", 3), Named("b", 2)], [0.5, 0.5])
    assert isinstance(mixed, SceneDataset) and len(mixed) == 5
    assert [mixed[i].name for i in range(5)] == ["a0", "a1", "a2", "b0", "b1"]
    for index in (-1, 5):
        with pytest.raises(IndexError):
            mixed[index]
    assert Mixture.of(mixed).sizes == (3, 2) and Mixture.of(Named("c", 4)) == Mixture((4,), (1.0,))


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    first=st.integers(0, 500),
    length=st.integers(50, 400),
)
def test_shares_hold_over_any_part_of_the_order(weights: list[int], first: int, length: int) -> None:
    shares = tuple(weight / sum(weights) for weight in weights)
    turns = Mixture((10,) * len(shares), shares).turns(first + length)[first:]
    counts = np.bincount(turns, minlength=len(shares))
    # the discrepancy of the golden ratio sequence grows with the logarithm of the length
    assert np.abs(counts - np.array(shares) * length).max() < 5


def test_each_data_set_has_its_own_epochs() -> None:
    found = places(RoundSampler(Mixture((4, 7), (0.6, 0.4)), 10, seed=3), range(14))
    for part, (first, last) in enumerate([(0, 4), (4, 11)]):
        mine = [(epoch, index) for epoch, index in found if first <= index < last]
        size = last - first
        assert len(mine) == pytest.approx(140 * (0.6, 0.4)[part], abs=3)
        for epoch in range(len(mine) // size):
            part_of_epoch = mine[epoch * size : (epoch + 1) * size]
            assert Counter(part_of_epoch) == Counter((epoch, index) for index in range(first, last))
    orders = {tuple(index for epoch, index in found if epoch == number and index < 4) for number in range(10)}
    assert len(orders) > 3


def test_a_mixed_order_is_resumed_and_shared() -> None:
    mixture = Mixture((4, 7), (0.6, 0.4))
    whole = places(RoundSampler(mixture, 12, seed=3), range(6))
    assert whole[36:48] == places(RoundSampler(mixture, 12, seed=3), range(3, 4))
    parts = [places(RoundSampler(mixture, 12, seed=3, rank=rank, devices=2), range(6)) for rank in range(2)]
    assert [whole[rank::2] for rank in range(2)] == parts
    assert Counter(whole) == Counter(itertools.chain(*parts))
    for part in parts:
        assert sum(index < 4 for _, index in part) / len(part) == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize(
    ("sizes", "shares", "message"),
    [
        ((3, 2), (0.5, 0.6), "add up to 1.1"),
        ((3, 2), (1.0, 0.0), "a share above 0"),
        ((3, 2), (1.5, -0.5), "a share above 0"),
        ((3, 2), (1.0,), "for 2 data sets"),
        ((3, 2), (float("nan"), 0.5), "a share above 0"),
        ((3, 0), (0.5, 0.5), "is empty"),
    ],
)
def test_invalid_shares_are_refused(sizes: tuple[int, ...], shares: tuple[float, ...], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        Mixture(sizes, shares)
