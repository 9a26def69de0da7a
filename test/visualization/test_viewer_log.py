"""What the viewer's log draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.visualization.viewer_log import UNIX_NS, ViewerLog, exposed


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 6)] * 3), st.floats(0.3, 1.0))
def test_only_voxels_whose_six_neighbours_are_occupied_are_not_exposed(
    seed: int, size: tuple[int, int, int], density: float
) -> None:
    occupied = np.random.default_rng(seed).random(size) < density
    padded = np.pad(occupied, 1)
    steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    expected = np.zeros(size, bool)
    for x, y, z in np.argwhere(occupied):
        expected[x, y, z] = not all(padded[x + 1 + i, y + 1 + j, z + 1 + k] for i, j, k in steps)
    np.testing.assert_array_equal(exposed(occupied), expected)


class Stream:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.times: list[dict[str, Any]] = []
        self.content: dict[str, Any] = {}

    def set_time(self, timeline: str, **value: Any) -> None:
        self.times.append({timeline: value})

    def log(self, entity: str, content: Any, *, static: bool) -> None:
        self.content[entity] = content


class Archetypes:
    """Stands in for the module rerun: every archetype is the dictionary of its arguments."""

    class ViewCoordinates:
        RIGHT_HAND_Z_UP = "z up"

    def __getattr__(self, name: str) -> Any:
        return lambda *values, **named: {"name": name, "values": values, **named}


@pytest.mark.parametrize("low", [(0.0, 0.0, 0.0), (-12.3, 7.9, 0.05)])
def test_points_of_a_map_become_the_voxels_that_they_are_the_centres_of(low: tuple[float, float, float]) -> None:
    cells = np.array([[0, 0, 0], [-3, 5, 2], [100, -40, 7], [1, 0, 0]])
    points = np.asarray(low) + 0.2 * (cells + 0.5)
    stream = Stream()
    labels, seen = np.array([9, 9, 1, 15], np.uint8), np.array([True, False, True, True])
    ViewerLog(Archetypes(), stream).map_points(points, labels, seen, SEMANTIC_KITTI, 0.2)
    for name, chosen in (("seen", seen), ("completed", ~seen)):
        voxels = stream.content[f"world/map/{name}"]
        index, edge = voxels["values"]
        np.testing.assert_allclose((index + 0.5) * edge + voxels["translation"], points[chosen], atol=1e-9)
    np.testing.assert_array_equal(stream.content["world/map/seen"]["colors"], SEMANTIC_KITTI.colors[labels[seen]])


def test_clock_times_and_durations_are_distinguished() -> None:
    clock, recording = Stream(), Stream()
    log = ViewerLog(Archetypes(), clock)
    log.at(1_700_000_000_123_456_789)
    # a message without a stamp: one time line has one type
    log.at(0)
    ViewerLog(Archetypes(), recording).at(300_000_000)
    assert [time["stamp"] for time in clock.times] == [
        {"timestamp": np.datetime64(1_700_000_000_123_456_789, "ns")},
        {"timestamp": np.datetime64(0, "ns")},
    ]
    assert recording.times == [{"stamp": {"duration": np.timedelta64(300_000_000, "ns")}}]
    assert UNIX_NS > 300_000_000
