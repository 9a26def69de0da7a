"""Comparison of the stamps of the images with the clock of the node."""

from __future__ import annotations

import time

from rclpy.clock import ROSClock

from occdepth_ros.nodes.faults import Component, FaultBoard
from occdepth_ros.nodes.stereo_occ.sync import SIDES, PairSynchronizer

OTHER_CLOCK = "other_clock"
"""Name of the fault."""
MAX_AHEAD, MAX_BEHIND = 1.0, 10.0
"""Seconds by which a stamp may be after, and before, the time of the node."""
FRESH = 0.5
"""Time since the arrival of an image within which its stamp is compared, seconds."""
_UNITS = (("years", 31_557_600), ("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))


def check_clock(synchronizer: PairSynchronizer, names: dict[str, str], clock: ROSClock, faults: FaultBoard) -> None:
    """Set the fault `OTHER_CLOCK` if the newest images are not stamped by the clock of the node, or clear it.

    Args:
        synchronizer: has the newest stamps.
        names: resolved topic names of the images by side.
        clock: of the node.
        faults: receives the fault.
    """
    now_ns, now = int(clock.now().nanoseconds), time.monotonic()
    fresh = {
        side: stamp
        for side in SIDES
        if (stamp := synchronizer.last_stamp[side]) is not None
        and (arrival := synchronizer.last_arrival[side]) is not None
        and now - arrival <= FRESH
    }
    texts = [text_of(names[side], now_ns - stamp, now_ns, clock.ros_time_is_active) for side, stamp in fresh.items()]
    if any(texts):
        faults.put(OTHER_CLOCK, Component.SYNC, next(filter(None, texts)), is_error=False)
    elif fresh:
        faults.clear(OTHER_CLOCK)


def text_of(topic: str, behind_ns: int, now_ns: int, is_simulated: bool) -> str:
    """Describe stamps that are not of the clock of the node, with a remedy; empty if they are.

    Args:
        topic: of the images.
        behind_ns: time of the node minus stamp, nanoseconds.
        now_ns: time of the node, nanoseconds; 0 before the first message on /clock.
        is_simulated: whether the parameter `use_sim_time` of the node is true.
    """
    behind = 1e-9 * behind_ns
    if -MAX_AHEAD <= behind <= MAX_BEHIND:
        return ""
    if is_simulated and now_ns == 0:
        return "use_sim_time is true, and no message arrived on /clock. Publish /clock, or set use_sim_time to false."
    # whole units, so that the text and the log do not change with every image
    unit, seconds = next((unit, seconds) for unit, seconds in _UNITS if abs(behind) >= seconds)
    return (
        f"the stamps of {topic} are {int(abs(behind) / seconds)} {unit} {'before' if behind > 0 else 'after'} the time "
        f"of the node (use_sim_time is {str(is_simulated).lower()}): poses are looked up at, and latencies computed "
        "from these stamps. Stamp the images with the ROS clock in the driver; for a recording or a simulation, set "
        "use_sim_time and publish /clock (`ros2 bag play --clock`)."
    )
