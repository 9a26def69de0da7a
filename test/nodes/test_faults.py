"""Named faults, and when they end."""

from __future__ import annotations

import time

from occdepth_ros.nodes.faults import Component, FaultBoard, NamedError


def test_a_fault_is_new_once_and_again_after_it_ended() -> None:
    board = FaultBoard()
    assert board.put("image_size", Component.INPUT, "too small")
    assert not board.put("image_size", Component.INPUT, "too small")
    assert board.put("image_size", Component.INPUT, "too large")
    assert board.clear("image_size", "never_seen") == ["image_size"]
    assert board.present() == []
    assert board.last is not None and board.last.text == "too large"
    assert board.put("image_size", Component.INPUT, "too large")


def test_errors_come_first_and_parts_are_apart() -> None:
    board = FaultBoard()
    board.put("no_tf", Component.EXTRINSICS, "warn", is_error=False)
    board.put("image_data", Component.INPUT, "cut")
    board.put("missing_tf", Component.EXTRINSICS, "error")
    assert [f.name for f in board.present(Component.EXTRINSICS)] == ["missing_tf", "no_tf"]
    assert board.clear_component(Component.EXTRINSICS, keep=("no_tf",)) == ["missing_tf"]
    assert {f.name for f in board.present()} == {"no_tf", "image_data"}


def test_a_passing_fault_ends_by_itself_and_survives_a_good_pair() -> None:
    board = FaultBoard()
    board.put("clock_jump", Component.SYNC, "back by 1 s", is_error=False, lasts=0.05)
    assert board.clear_component(Component.SYNC) == []
    assert [f.name for f in board.present(Component.SYNC)] == ["clock_jump"]
    time.sleep(0.06)
    assert board.present() == []


def test_a_named_error_contains_cause_location_and_remedy() -> None:
    error = NamedError("baseline", Component.CALIBRATION, "it is 0", where="right/camera_info", remedy="Swap them.")
    assert error.name == "baseline" and str(error) == "right/camera_info: it is 0. Swap them."


def test_a_fault_that_is_set_again_and_again_does_not_hide_a_later_one() -> None:
    board = FaultBoard()
    board.put("other_clock", Component.SYNC, "periodic", is_error=False)
    board.put("image_size", Component.INPUT, "later")
    board.put("other_clock", Component.SYNC, "periodic", is_error=False)
    assert board.last is not None and board.last.name == "image_size"
