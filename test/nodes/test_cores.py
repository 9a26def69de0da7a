"""Number of cores of a process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from occdepth_ros.nodes.cores import core_count


def written(folder: Path, siblings: Mapping[int, str]) -> Path:
    for cpu, text in siblings.items():
        topology = folder / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("siblings", "cores"),
    [
        ({0: "0-1", 1: "0-1"}, 1),
        ({0: "0", 1: "1"}, 2),
        ({0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}, 2),
    ],
)
def test_hyperthreads_of_one_core_count_once(tmp_path: Path, siblings: dict[int, str], cores: int) -> None:
    assert core_count(siblings, written(tmp_path, siblings)) == cores


def test_only_the_processors_of_the_process_count(tmp_path: Path) -> None:
    folder = written(tmp_path, {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"})
    assert core_count([1, 5], folder) == 1


def test_processors_with_unknown_siblings_count_as_cores(tmp_path: Path) -> None:
    assert core_count([0, 1, 2], tmp_path) == 3


def test_this_process_has_a_core() -> None:
    assert core_count() >= 1
