"""Running nodes for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.nodes.node_bench import Bench


@pytest.fixture(scope="module")
def shared() -> Iterator[Bench]:
    # imported here: collecting the tests must work without ROS
    from helpers.nodes.node_bench import Bench

    bench = Bench(input_timeout=0.5)
    bench.wait_active()
    yield bench
    bench.close()


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """The shared node in good health, with a new octomap listener."""
    shared.good_pair()
    yield shared

    def is_healthy() -> bool:
        # on a busy machine a stream may count as stopped before the next look
        shared.good_pair()
        # these warnings outlast their reason
        return shared.fault_names(without_clock=True) <= {"clock_jump", "calibration_changes"}

    shared.wait(is_healthy, "faults stayed after a good pair")


@pytest.fixture
def made() -> Iterator[list[Bench]]:
    """For tests that need a node of their own."""
    benches: list[Bench] = []
    yield benches
    for bench in benches:
        bench.close()
