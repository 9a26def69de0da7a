"""YAML files with calibrations: ROS CameraInfo files, OpenCV FileStorage, Kalibr and ASL files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import CalibrationError
from occdepth_ros.sources.tables import read_text


class _Loader(yaml.SafeLoader):
    """Safe YAML with the matrices of OpenCV as mappings of rows, cols and data; repeated entries are refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping; YAML without this check uses the last one of repeated entries."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen and name != "<<":
                raise _RepeatedEntryError(None, None, f"the entry {name!r} is repeated", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class _RepeatedEntryError(yaml.constructor.ConstructorError):
    """Two entries of a mapping have one name."""


def _opencv_matrix(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, "an opencv-matrix is not a mapping", node.start_mark)
    return loader.construct_mapping(node, deep=True)


for _tag in ("opencv-matrix", "opencv-nd-matrix"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _opencv_matrix)


def read_yaml(file: Path) -> Mapping[str, Any]:
    """Return the entries of a YAML file.

    Raises:
        SourceError: the file cannot be read.
        CalibrationError: it is not valid YAML, or has no entries.
    """
    return parse_yaml(read_text(file), str(file))


def parse_yaml(text: str, where: str) -> Mapping[str, Any]:
    """Return the entries of YAML text; the directive `%YAML:1.0` of OpenCV, which YAML does not allow, is removed.

    Raises:
        CalibrationError: the text is not valid YAML, or has no entries.
    """
    if text.startswith("%YAML:"):
        text = "#" + text
    try:
        entries = yaml.load(text, _Loader)  # nosec B506 # _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        location = f"{where}, line {line + 1}" if line is not None else where
        if isinstance(error, _RepeatedEntryError):
            what, remedy = str(error.problem), "Remove the wrong one."
        else:
            what, remedy = "the file is not valid YAML", "Write `name: value`, indented with blanks instead of tabs."
        raise CalibrationError(what, where=location, remedy=remedy) from error
    if not isinstance(entries, Mapping):
        raise CalibrationError("the file has no entries of the form `name: value`", where=where)
    return entries


def numbers_of(value: object, count: int, name: str, where: Path | str) -> Matrix:
    """Return finite numbers of a list, or of the entry `data` of a matrix, `[count]`.

    Raises:
        CalibrationError: the value is missing, or is not `count` finite numbers.
    """
    given = value
    if isinstance(value, Mapping):
        value = value.get("data")
    try:
        numbers = np.asarray(value, np.float64).ravel()
        # numpy converts the words yes and no of YAML to 1 and 0
        if any(isinstance(item, bool) for item in np.asarray(value, object).ravel()):
            numbers = np.empty(0)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.size != count or not np.isfinite(numbers).all():
        numbers_text = "a finite number" if count == 1 else f"{count} finite numbers"
        if given is None or given == [None]:
            raise CalibrationError(f"{name} is missing", where=str(where), remedy=f"Give {numbers_text}.")
        single = given[0] if isinstance(given, list) and len(given) == 1 else given
        shown = f"is {str(single)[:40]!r}"
        if numbers.size > 1:
            shown = "contains NaN or infinity" if numbers.size == count else f"has {numbers.size} numbers"
        raise CalibrationError(
            f"{name} {shown}, not {numbers_text}", where=str(where), remedy="Decimals are written with a point."
        )
    return numbers
