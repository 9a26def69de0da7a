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
"""Maps: reliable, transient local; late subscribers receive the last message."""

RESULT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
"""Results of one pair: reliable, volatile, with a depth of 1."""

CHANGES = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
"""Changes of a latched map: reliable, with the depth of nav2's subscription, because each message is needed."""

REPLAYED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
"""Recorded camera streams: reliable, compatible with best-effort and reliable subscribers."""


REPLAY_ENDED = "replay_ended"
"""Latched std_msgs/Header with the stamp of the last pair, published at the end of a replay."""


def fresh(profile: QoSProfile) -> QoSProfile:
    """Return a copy for one topic, because rclpy writes overrides into the profile."""
    return copy.copy(profile)


def overridable() -> QoSOverridingOptions:
    """Return options that declare the standard `qos_overrides` parameters for history, depth and reliability."""
    return QoSOverridingOptions.with_default_policies()
