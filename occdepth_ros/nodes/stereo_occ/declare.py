"""Binds the declared parameters to a ROS node: descriptors, checks with reasons, changes while running."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from occdepth_ros.errors import OccDepthError
from occdepth_ros.nodes.stereo_occ.parameters import PARAMETERS, ParameterError, Settings, checked, rule_of

_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_ARRAY_TYPES = {int: ParameterType.PARAMETER_INTEGER_ARRAY, float: ParameterType.PARAMETER_DOUBLE_ARRAY}


class ParameterBinding:
    """Declares `Settings` on a node and keeps them checked.

    Args:
        node: where to declare.
        is_configured: whether the node holds resources now; then only live parameters may change.
        on_change: called with the new settings after an accepted change.

    Raises:
        ParameterError: a value given at start cannot be used.
    """

    def __init__(self, node: Node, is_configured: Callable[[], bool], on_change: Callable[[Settings], None]) -> None:
        self._node = node
        self._is_configured = is_configured
        self._on_change = on_change
        for name, entry in PARAMETERS.items():
            default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
            try:
                node.declare_parameter(name, default, _descriptor(name))
                checked(name, _reference(node.get_parameter(name).value))
            except ParameterException as error:
                raise ParameterError(str(error), where=name, remedy=rule_of(name).text) from error
        self.settings()
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._announce)

    def settings(self) -> Settings:
        """The current values.

        Raises:
            ParameterError: values contradict each other.
        """
        return Settings.from_values(self._values())

    def _values(self) -> dict[str, Any]:
        return {name: _reference(self._node.get_parameter(name).value) for name in PARAMETERS}

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        ours = {change.name: _reference(change.value) for change in changes if change.name in PARAMETERS}
        try:
            for name, value in ours.items():
                same = checked(name, value) == checked(name, self._values()[name])
                if self._is_configured() and not rule_of(name).live and not same:
                    raise ParameterError(
                        "it takes effect on configuring only",
                        where=name,
                        remedy="Deactivate and clean up the node, set it, then configure and activate.",
                    )
            Settings.from_values({**self._values(), **ours})
        except OccDepthError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _announce(self, changes: list[Parameter]) -> None:
        if any(change.name in PARAMETERS for change in changes):
            self._on_change(self.settings())


def _reference(value: Any) -> Any:
    return tuple(value) if isinstance(value, array | list) else value


def _descriptor(name: str) -> ParameterDescriptor:
    default: Any = PARAMETERS[name].default
    rule = rule_of(name)
    is_array = isinstance(default, tuple)
    kind = type(default[0]) if is_array else type(default)
    notes = [] if rule.live else ["Takes effect on configuring."]
    if rule.choices:
        notes.append("One of " + ", ".join(rule.choices) + ".")
    descriptor = ParameterDescriptor(
        name=name,
        type=_ARRAY_TYPES[kind] if is_array else _TYPES[kind],
        description=rule.text,
        additional_constraints=" ".join(notes),
        # numbers without a decimal point are welcome where a float is wanted, and refusals carry our reasons
        dynamic_typing=True,
        read_only=name == "autostart",
    )
    if math.isfinite(rule.low) and math.isfinite(rule.high):
        if kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(rule.low), to_value=int(rule.high), step=0)]
        elif kind is float:
            descriptor.floating_point_range = [FloatingPointRange(from_value=rule.low, to_value=rule.high, step=0.0)]
    return descriptor
