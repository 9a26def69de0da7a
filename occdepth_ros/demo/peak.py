"""Search for the highest replay rate that the node sustains."""

from __future__ import annotations

from collections.abc import Callable

from occdepth_ros.demo.performance import RealTime

MAX_TRIALS = 6
RESOLUTION = 1.1
"""The search ends when the lowest failed rate is at most this factor above the highest sustained rate."""
REACHED = 0.9
"""Share of the requested rate below which the replay limits the rate."""


def highest_rate(trial: Callable[[float], RealTime], first_hz: float) -> RealTime | None:
    """Search for the highest rate by bisection.

    Args:
        trial: function that replays at a rate, Hz.
        first_hz: the first rate, such as the inverse of the processing time, Hz.

    Returns:
        the run with the highest sustained rate; None if no rate is sustained.
    """
    best: RealTime | None = None
    low, high, rate = 0.0, 0.0, first_hz
    for _ in range(MAX_TRIALS):
        run = trial(rate)
        if run.holds:
            best, low = run, rate
            if run.sent_hz < REACHED * rate:
                break
        else:
            high = rate
        if low and high and high <= RESOLUTION * low:
            break
        rate = (low * high) ** 0.5 if low and high else 1.5 * low if low else 0.6 * high
    return best
