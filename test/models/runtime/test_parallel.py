"""Threads that divide work in larger pieces than single operations."""

from __future__ import annotations

import threading

import pytest
import torch

from occdepth_ros.models.runtime.parallel import Workers


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize(("total", "size"), [(0, 4), (3, 4), (40, 7)])
def test_each_part_is_computed_once(count: int, total: int, size: int) -> None:
    seen = torch.zeros(total)

    def part(rows: slice) -> None:
        assert rows.stop - rows.start <= size and torch.is_inference_mode_enabled()
        seen[rows] += 1

    with torch.inference_mode():
        Workers(count).each(part, total, size)
    assert (seen == 1).all()


def test_an_error_in_a_part_reaches_the_caller() -> None:
    def part(rows: slice) -> None:
        raise ValueError(f"part {rows.start}")

    with pytest.raises(ValueError, match="part"):
        Workers(2).each(part, 10, 2)


@pytest.mark.skipif(torch.get_num_threads() < 2, reason="with one thread of torch, workers are the calling thread")
def test_workers_have_their_own_number_of_torch_threads() -> None:
    before = torch.get_num_threads()
    workers = Workers(2, torch_threads=1)
    assert workers.submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == before
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [before]
