"""Saving a map in a process that is killed: the old file or the new one is whole, and nothing else remains."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from helpers.maps import SMALL, pose, predict, street

from occdepth_ros.mapping import OccupancyMap
from occdepth_ros.mapping.files import save_map

MOMENTS = 12


def map_of(frames: int) -> OccupancyMap:
    world = OccupancyMap(SMALL)
    for i in range(frames):
        world.integrate(predict(street(i), at_s=0.1 * i), pose(1.5 * i))
    return world


class Calls:
    """Counts the function calls since a file was opened, and ends the process with SIGKILL before the `fatal` one."""

    def __init__(self, fatal: int = -2) -> None:
        self.count = -1
        self.fatal = fatal

    def __call__(self, _: FrameType, event: str, function: Any) -> None:
        if event not in ("call", "c_call"):
            return
        if self.count >= 0 or (event == "c_call" and function.__name__ == "open"):
            self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, action: Callable[[], None]) -> int:
        """Run an action, and return the number of its calls."""
        sys.setprofile(self)
        try:
            action()
        finally:
            sys.setprofile(None)
        return self.count


def in_child(action: Callable[[], object]) -> int:
    """Run an action in a copy of this process, and return the wait status."""
    process = os.fork()
    if process == 0:
        action()
        os._exit(0)
    return os.waitpid(process, 0)[1]


@pytest.mark.parametrize("suffix", [".npz", ".bt", ".ot"])
def test_a_killed_save_leaves_the_old_or_the_new_file_and_the_next_save_removes_the_rest(
    tmp_path: Path, suffix: str
) -> None:
    path, other = tmp_path / f"map{suffix}", tmp_path / f"other{suffix}"
    save_map(path, map_of(1))
    old = path.read_bytes()
    world = map_of(3)
    save_map(other, world)  # work that is done once per process is not counted
    count = Calls().watch(lambda: save_map(other, world))
    new = other.read_bytes()
    assert old != new
    found, remains = set(), 0
    for fatal in np.unique(np.linspace(0, count - 1, MOMENTS).astype(int)).tolist():
        status = in_child(lambda: Calls(fatal).watch(lambda: save_map(path, world)))  # noqa: B023
        assert os.WTERMSIG(status) == signal.SIGKILL, fatal
        found.add(path.read_bytes())
        left = set(tmp_path.iterdir()) - {path, other}
        remains += len(left)
        # files of an earlier process are removed: at most one file is next to the map
        assert len(left) <= 1
    # at least one process was killed while it wrote
    assert old in found and found <= {old, new} and remains > 0
    save_map(path, world)
    assert path.read_bytes() == new
    assert set(tmp_path.iterdir()) == {path, other}
