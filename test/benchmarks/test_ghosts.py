"""Moving objects in the map: shown while they are there, and gone within two seconds."""

from __future__ import annotations

from benchmarks.ghosts import measure


def test_moving_objects_leave_at_most_one_percent_of_ghosts_after_two_seconds() -> None:
    report = measure(frames=40)
    assert report.left > 20_000, "too few voxels to measure"
    assert report.share <= 0.01
    assert max(report.shown) > 0.5
