"""Declaration of ROS parameters as dataclass fields: type, default, allowed range and description.

A node derives one frozen dataclass from `ParameterSet`; a field is a parameter. The ROS declarations, the validation,
the parameter file and the documentation's table are generated from it. This module does not import ROS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from occdepth_ros.errors import OccDepthError

T = TypeVar("T")
Parameters = TypeVar("Parameters", bound="ParameterSet")

_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class ParameterError(OccDepthError):
    """A parameter value is invalid."""


@dataclass(frozen=True)
class Rule:
    """Description and allowed values of one parameter.

    Args:
        text: description, with units.
        group: heading of the parameter in the documentation.
        low, high: inclusive range of a number, or of every number of an array.
        choices: allowed strings; empty allows all.
        lengths: allowed lengths of an array.
        live: whether the parameter may change while the node is configured.
    """

    text: str
    group: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    live: bool = False


def parameter(default: T, group: str, text: str, **rule: Any) -> T:
    """Return a dataclass field that declares a parameter; keyword arguments as in `Rule`.

    A tuple is an array parameter; its length must be that of the default unless `lengths` is set.
    """
    lengths = rule.pop("lengths", (len(default),) if isinstance(default, tuple) else ())
    declared: T = field(default=default, metadata={"rule": Rule(text, group, lengths=lengths, **rule)})
    return declared


@dataclass(frozen=True)
class ParameterSet:
    """Base of a node's parameters."""

    @classmethod
    def declared(cls) -> dict[str, Field[Any]]:
        """Return all parameters by name, in order of declaration."""
        return {entry.name: entry for entry in fields(cls)}

    @classmethod
    def rule(cls, name: str) -> Rule:
        """Return the rule of a declared parameter."""
        rule: Rule = cls.__dataclass_fields__[name].metadata["rule"]
        return rule

    @classmethod
    def checked(cls, name: str, value: Any) -> Any:
        """Validate one value and convert it to the declared type; integers are accepted for floats.

        Raises:
            ParameterError: wrong type, length or range, or a string that is not allowed.
        """
        default, rule = cls.__dataclass_fields__[name].default, cls.rule(name)
        if not isinstance(default, tuple):
            return _checked_scalar(name, rule, type(default), value)
        if isinstance(value, str | bytes) or not hasattr(value, "__len__") or len(value) not in rule.lengths:
            counts = " or ".join(map(str, rule.lengths))
            raise ParameterError(f"{value!r} is not an array of {counts} numbers", where=name, remedy=rule.text)
        return tuple(_checked_scalar(name, rule, type(default[0]), entry) for entry in value)

    @classmethod
    def from_values(cls: type[Parameters], values: Mapping[str, Any]) -> Parameters:
        """Validate every value and build the set; missing parameters have their default values.

        Raises:
            ParameterError: a value is invalid, or values contradict each other.
        """
        return cls(**{name: cls.checked(name, value) for name, value in values.items()})


def _checked_scalar(name: str, rule: Rule, kind: type, value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise ParameterError(f"{value!r} is not {_TYPE_NAMES[kind]}", where=name, remedy=rule.text)
    if kind is str and rule.choices and value not in rule.choices:
        raise ParameterError(f"{value!r} is not one of {', '.join(rule.choices)}", where=name, remedy=rule.text)
    if isinstance(value, int | float) and not isinstance(value, bool) and not rule.low <= value <= rule.high:
        raise ParameterError(f"{value} is not within {rule.low:g} to {rule.high:g}", where=name, remedy=rule.text)
    return value
