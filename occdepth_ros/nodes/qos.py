"""Quality of service of all topics (REP-2003: sensor data for inputs, latched maps)."""

from __future__ import annotations

import copy

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions

SENSOR_DATA: QoSProfile = qos_profile_sensor_data
"""Camera streams: best effort, so that reliable and best-effort cameras both connect."""

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Maps: reliable, and late subscribers receive the last message."""

RESULT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
"""Results of one pair: reliable, only the newest is kept."""

REPLAYED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
"""Recorded camera streams: reliable, which best-effort and reliable subscribers both accept."""


REPLAY_ENDED = "replay_ended"
"""Latched std_msgs/Header with the stamp of the last pair, which a replay publishes when it has ended."""


def fresh(profile: QoSProfile) -> QoSProfile:
    """A copy for one topic: rclpy writes overrides into the profile that it is given."""
    return copy.copy(profile)


def overridable() -> QoSOverridingOptions:
    """Let users change history, depth and reliability by the standard `qos_overrides` parameters."""
    return QoSOverridingOptions.with_default_policies()
