"""Maintenance of callback groups of a node that creates and destroys topics many times."""

from __future__ import annotations

from rclpy.callback_groups import CallbackGroup


def remove_destroyed(group: CallbackGroup) -> None:
    """Remove the entries of destroyed publishers, subscriptions, timers and services from a callback group.

    rclpy adds a weak reference for each of them, and for each event handler of a publisher or subscription, and never
    removes it: 7 kB for every configuration of a node with 40 topics.
    """
    group.entities -= {reference for reference in group.entities if reference() is None}
