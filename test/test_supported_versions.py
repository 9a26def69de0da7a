"""The package uses nothing that the libraries of Ubuntu 24.04, the system of ROS 2 Jazzy, lack."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEWER = {
    # numpy 1.26
    "np": frozenset(
        {
            "acos",
            "acosh",
            "asin",
            "asinh",
            "astype",
            "atan",
            "atan2",
            "atanh",
            "bitwise_count",
            "bitwise_invert",
            "bitwise_left_shift",
            "bitwise_right_shift",
            "bool",
            "concat",
            "cumulative_prod",
            "cumulative_sum",
            "isdtype",
            "long",
            "matrix_transpose",
            "matvec",
            "permute_dims",
            "pow",
            "strings",
            "trapezoid",
            "ulong",
            "unique_all",
            "unique_counts",
            "unique_inverse",
            "unique_values",
            "unstack",
            "vecdot",
            "vecmat",
        }
    ),
    # OpenCV 4.6
    "cv2": frozenset({"IMWRITE_JPEG_SAMPLING_FACTOR", "IMWRITE_JPEG_SAMPLING_FACTOR_444", "IMWRITE_PNG_FILTER"}),
}
OLDEST = {"numpy": "1.26", "opencv-python-headless": "4.6", "pillow": "10.2", "rich": "13.7", "PyYAML": "6.0"}
"""Versions of Ubuntu 24.04."""


def _used(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in NEWER.get(node.value.id, ())
        ):
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.value.id}.{node.attr}"


def test_no_function_is_used_that_older_supported_libraries_lack() -> None:
    files = [*(ROOT / "occdepth_ros").rglob("*.py"), *(ROOT / "launch").rglob("*.py")]
    assert [use for path in files for use in _used(path)] == []


def test_a_newer_function_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("import numpy as np\nnp.bitwise_count(3)\nnp.bitwise_and(3, 1)\n")
    assert list(_used(tmp_path / "a.py")) == ["a.py:2: np.bitwise_count"]


@pytest.mark.parametrize("name", OLDEST)
def test_the_declared_minimum_is_not_above_the_version_of_ubuntu(name: str) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.search(rf'"{name}>=([\d.]+)"', text)
    assert declared is not None
    assert [int(part) for part in declared[1].split(".")] <= [int(part) for part in OLDEST[name].split(".")]
