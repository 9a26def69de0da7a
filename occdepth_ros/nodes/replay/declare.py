"""Declares the parameters of the node `replay` on a ROS node and reads them back checked."""

from __future__ import annotations

import math

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from occdepth_ros.nodes.replay.settings import PARAMETERS, ReplaySettings, rule_of
from occdepth_ros.nodes.stereo_occ.parameters import checked_scalar


def declare(node: Node) -> ReplaySettings:
    """Declare all parameters, read-only, and return their values.

    Raises:
        ParameterError: a value given at start cannot be used.
    """
    values = {}
    for name, entry in PARAMETERS.items():
        # the range is told to ROS after our own check, whose reasons are in words
        value = node.declare_parameter(name, entry.default, ParameterDescriptor(dynamic_typing=True)).value
        values[name] = checked_scalar(name, rule_of(name), type(entry.default), value)
        node.set_descriptor(name, _descriptor(name))
    return ReplaySettings.from_values(values)


def _descriptor(name: str) -> ParameterDescriptor:
    rule, default = rule_of(name), PARAMETERS[name].default
    descriptor = ParameterDescriptor(
        name=name,
        description=rule.text,
        additional_constraints=f"One of {', '.join(rule.choices)}." if rule.choices else "",
        # numbers without a decimal point are welcome where a float is wanted
        dynamic_typing=True,
        read_only=True,
    )
    if math.isfinite(rule.low) and math.isfinite(rule.high):
        if isinstance(default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(rule.low), to_value=int(rule.high), step=0)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=rule.low, to_value=rule.high, step=0.0)]
    return descriptor
