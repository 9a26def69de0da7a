"""Growth of memory from samples of a process: leaks are found, and buffers that come and go are no growth."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from benchmarks.soak.growth import INTERVAL_S, Sampler, cpu_seconds, measure_growth

HOUR = 3600.0
MB = 1e6


def hour_of(leak_mb: float, seed: int) -> tuple[list[float], list[float]]:
    """Samples of a process with buffers of up to 40 MB for a part of each period of 0.1 s, and a leak per hour."""
    rng = np.random.default_rng(seed)
    moments = np.cumsum(rng.uniform(*INTERVAL_S, 72_000))
    phase = (moments * 10.0) % 1.0
    buffers = MB * np.select([phase < 0.3, phase < 0.9], [0.0, 15.0], 40.0)
    return list(moments), list(450 * MB + buffers + leak_mb * MB * moments / HOUR)


@pytest.mark.parametrize("seed", range(5))
def test_buffers_of_each_pair_are_no_growth(seed: int) -> None:
    growth = measure_growth(*hour_of(0.0, seed))
    assert growth is not None
    assert abs(growth.mean) * HOUR < 1 * MB
    assert abs(growth.median) * HOUR < 0.01 * MB
    assert growth.bound * HOUR < 1 * MB


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_of_two_megabytes_an_hour_is_found_in_all_figures(seed: int) -> None:
    growth = measure_growth(*hour_of(2.0, seed))
    assert growth is not None
    assert growth.bound * HOUR > 1 * MB
    for value in (growth.median, growth.mean, growth.lowest, growth.highest):
        assert value * HOUR == pytest.approx(2 * MB, abs=0.8 * MB)


def test_growth_during_the_warm_up_does_not_count() -> None:
    moments = np.linspace(0, HOUR, 5000)
    memory = np.where(moments < 0.19 * HOUR, 300 * MB, 400 * MB)
    growth = measure_growth(list(moments), list(memory))
    assert growth is not None
    assert growth.median == pytest.approx(0, abs=1.0) and growth.error == pytest.approx(0, abs=1.0)


@pytest.mark.parametrize("count", [0, 1, 20])
def test_too_few_samples_give_no_figure(count: int) -> None:
    assert measure_growth([float(i) for i in range(count)], [1.0] * count) is None


def test_the_sampler_measures_the_memory_and_the_cpu_time_of_a_process() -> None:
    sampler = Sampler(os.getpid())
    sampler.start()
    while len(sampler.moments) < 3:
        time.sleep(0.01)
    sampler.end()
    assert not sampler.is_alive()
    assert len(sampler.moments) == len(sampler.memory) == len(sampler.cpu)
    assert min(sampler.memory) > 10 * MB
    assert 0 < sampler.cpu[0] <= sampler.cpu[-1] <= cpu_seconds(os.getpid())
    assert sampler.cpu_between(0.0, float("inf")) == sampler.cpu[-1] - sampler.cpu[0]


def test_a_sampler_that_has_not_begun_can_be_ended() -> None:
    sampler = Sampler(os.getpid())
    sampler.end()
    assert np.isnan(sampler.cpu_between(0.0, 1.0))
