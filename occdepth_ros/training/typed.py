"""Plain values, as YAML gives them, into frozen dataclasses by their annotations."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from occdepth_ros.errors import RecipeError

Record = TypeVar("Record")

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def updated(record: Record, values: Mapping[str, Any], where: str = "") -> Record:
    """A copy of a dataclass instance with some fields changed; a mapping changes the fields of a nested one.

    Args:
        record: the dataclass instance that holds what `values` does not say.
        values: field name to value.
        where: dotted name of the record, for error messages.

    Raises:
        RecipeError: a name is no field (the text names the nearest one), or a value is of the wrong kind.
    """
    if not isinstance(values, Mapping):
        raise RecipeError(f"{_shown(values)} is not a set of keys and values", where=where or "recipe")
    kinds = get_type_hints(type(record))
    fields = [field.name for field in dataclasses.fields(record) if field.init]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        place = f"{where}.{name}" if where else str(name)
        if name not in fields:
            raise RecipeError("there is no such key", where=place, remedy=_nearest(str(name), fields))
        changes[name] = _converted(value, kinds[name], getattr(record, name), place)
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]


def reference(value: Any) -> Any:
    """The reverse: dataclasses to mappings and tuples to lists, ready for YAML."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: reference(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {key: reference(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [reference(item) for item in value]
    return value


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
    # unions other than "or null" are not used in recipes
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


def _wrong(value: Any, wanted: str, where: str) -> RecipeError:
    return RecipeError(f"{_shown(value)} is not {wanted}", where=where, remedy=f"Give {wanted}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
