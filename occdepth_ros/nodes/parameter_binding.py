"""Declares a `ParameterSet` on a ROS node: descriptors, validation, and changes at run time."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import Any, Generic

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
from occdepth_ros.nodes.parameters import ParameterError, Parameters, ParameterSet

_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_ARRAY_TYPES = {int: ParameterType.PARAMETER_INTEGER_ARRAY, float: ParameterType.PARAMETER_DOUBLE_ARRAY}


def declare_parameters(
    node: Node, kind: type[Parameters], *, read_only: frozenset[str] = frozenset(), fixed_text: str = ""
) -> Parameters:
    """Declare all parameters of `kind` on a node and return their validated values.

    Args:
        node: node of the parameters.
        kind: the parameter set.
        read_only: names that cannot change after the start.
        fixed_text: note in the descriptors of parameters that are not live.

    Raises:
        ParameterError: a start value is invalid, or values contradict each other.
    """
    for name, entry in kind.declared().items():
        default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
        try:
            # the range is added after `ParameterSet.checked`, whose error messages contain the reason
            value = node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
        except ParameterException as error:
            raise ParameterError(str(error), where=name, remedy=kind.rule(name).text) from error
        kind.checked(name, _as_tuple(value))
        node.set_descriptor(name, _descriptor(kind, name, is_read_only=name in read_only, fixed_text=fixed_text))
    return read_parameters(node, kind)


def read_parameters(node: Node, kind: type[Parameters]) -> Parameters:
    """Return the current values of declared parameters.

    Raises:
        ParameterError: values contradict each other.
    """
    return kind.from_values({name: _as_tuple(node.get_parameter(name).value) for name in kind.declared()})


class ParameterBinding(Generic[Parameters]):
    """Declares the parameters of a lifecycle node and validates every change.

    Args:
        node: node of the parameters.
        kind: the parameter set.
        is_configured: returns whether the node is configured; then only live parameters may change.
        on_change: called with the new values after an accepted change.
        read_only: names that cannot change after the start.

    Raises:
        ParameterError: a start value is invalid.
    """

    def __init__(
        self,
        node: Node,
        kind: type[Parameters],
        is_configured: Callable[[], bool],
        on_change: Callable[[Parameters], None],
        *,
        read_only: frozenset[str] = frozenset(),
    ) -> None:
        self._node = node
        self._kind = kind
        self._is_configured = is_configured
        self._on_change = on_change
        declare_parameters(node, kind, read_only=read_only, fixed_text="Takes effect when the node is configured.")
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._announce)

    def values(self) -> Parameters:
        """Return the current values.

        Raises:
            ParameterError: values contradict each other.
        """
        return read_parameters(self._node, self._kind)

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        kind, declared = self._kind, self._kind.declared()
        changed = {change.name: _as_tuple(change.value) for change in changes if change.name in declared}
        current = {name: _as_tuple(self._node.get_parameter(name).value) for name in declared}
        try:
            for name, value in changed.items():
                same = kind.checked(name, value) == kind.checked(name, current[name])
                if self._is_configured() and not kind.rule(name).live and not same:
                    raise ParameterError(
                        "it takes effect only when the node is configured",
                        where=name,
                        remedy="Deactivate and clean up the node, set the parameter, configure and activate.",
                    )
            kind.from_values({**current, **changed})
        except OccDepthError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _announce(self, changes: list[Parameter]) -> None:
        if any(change.name in self._kind.declared() for change in changes):
            self._on_change(self.values())


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, array | list) else value


def _descriptor(kind: type[ParameterSet], name: str, *, is_read_only: bool, fixed_text: str) -> ParameterDescriptor:
    default: Any = kind.declared()[name].default
    rule = kind.rule(name)
    is_array = isinstance(default, tuple)
    scalar = type(default[0]) if is_array else type(default)
    notes = [fixed_text] if fixed_text and not rule.live else []
    if rule.choices:
        notes.append("One of " + ", ".join(rule.choices) + ".")
    descriptor = ParameterDescriptor(
        name=name,
        type=_ARRAY_TYPES[scalar] if is_array else _TYPES[scalar],
        description=rule.text,
        additional_constraints=" ".join(notes),
        # `ParameterSet.checked` accepts integers for floats and reports the reason of an error
        dynamic_typing=True,
        read_only=is_read_only,
    )
    if math.isfinite(rule.low) and math.isfinite(rule.high):
        if scalar is int:
            descriptor.integer_range = [IntegerRange(from_value=int(rule.low), to_value=int(rule.high), step=0)]
        elif scalar is float:
            descriptor.floating_point_range = [FloatingPointRange(from_value=rule.low, to_value=rule.high, step=0.0)]
    return descriptor
