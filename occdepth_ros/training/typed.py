"""Conversion of YAML values to frozen dataclasses by their annotations."""

from __future__ import annotations

import dataclasses
import difflib
import types
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from occdepth_ros.errors import RecipeError

Record = TypeVar("Record")

RENAMED = {"picture": "image"}
"""Fields by their former names; a former name still works and causes a FutureWarning."""

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def updated(record: Record, values: Mapping[str, Any], where: str = "") -> Record:
    """Return a copy of a dataclass instance with changed fields; a mapping changes the fields of a nested dataclass.

    Args:
        record: the instance with the values of all other fields.
        values: field name to value.
        where: dotted name of the record, for error messages.

    Raises:
        RecipeError: a name is not a field (the text names the nearest one), or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise RecipeError(f"{_shown(values)} is not a set of keys and values", where=where or "recipe")
    kinds = get_type_hints(type(record))
    fields = [field.name for field in dataclasses.fields(record) if field.init]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for given, value in values.items():
        key_path = f"{where}.{given}" if where else str(given)
        name = _current_name(given, fields, values, key_path)
        if name not in fields:
            raise RecipeError("there is no such key", where=key_path, remedy=_nearest(str(name), fields))
        changes[name] = _converted(value, kinds[name], getattr(record, name), key_path)
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]


def as_yaml(value: Any) -> Any:
    """Convert dataclasses to mappings and tuples to lists for YAML, the reverse of `updated`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_yaml(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {key: as_yaml(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_yaml(item) for item in value]
    return value


def _current_name(name: Any, fields: Sequence[str], values: Mapping[str, Any], where: str) -> Any:
    """Replace the former name of a field, with a warning."""
    current = RENAMED.get(name)
    if name in fields or current not in fields:
        return name
    if current in values:
        raise RecipeError(f"the key is the former name of {current}, which is set, too", where=where)
    warnings.warn(f"{where} is deprecated; use {current}", FutureWarning, stacklevel=2)
    return current


def _converted(value: Any, kind: Any, current: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _of_union(value, kind, current, where)
    if origin is Literal:
        if value in get_args(kind):
            return value
        raise _wrong(value, f"one of {', '.join(map(str, get_args(kind)))}", where)
    if origin is tuple:
        return _of_tuple(value, get_args(kind), where)
    if origin is not None and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return dict(value)
        raise _wrong(value, "a set of keys and values", where)
    if dataclasses.is_dataclass(kind):
        return _of_record(value, kind, current, where)
    # YAML 1.1 reads 2e-4 as text
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            raise _wrong(value, _WORDS[float], where) from None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(value, _WORDS.get(kind, str(kind)), where)
    return value


def _of_record(value: Any, kind: Any, current: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(value, "a set of keys and values", where)
    return updated(current if isinstance(current, kind) else kind(), value, where)


def _of_union(value: Any, kind: Any, current: Any, where: str) -> Any:
    choices = [choice for choice in get_args(kind) if choice is not type(None)]
    if value is None and len(choices) < len(get_args(kind)):
        return None
    # recipes use no unions other than "or null"
    return _converted(value, choices[0], current, where)


def _of_tuple(value: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _wrong(value, "a list", where)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise _wrong(value, f"a list of {len(kinds)}", where)
    return tuple(
        _converted(item, kind, None, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(value, kinds, strict=True))
    )


def _wrong(value: Any, expected_type: str, where: str) -> RecipeError:
    return RecipeError(f"{_shown(value)} is not {expected_type}", where=where, remedy=f"Give {expected_type}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."


def _nearest(name: str, fields: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"Known: {', '.join(fields)}."
