"""MonoOcc's contributions one by one: the rows of the ablation.

Each row but the teacher is monoocc-edge with all contributions or without one of them, on one budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.comparison.rows import TRAINED, TrainedRow

TEACHER = "monoocc-edge-teacher"
_row = partial(TrainedRow, family="monoocc", recipe="monoocc-comparison", bias="pts_bbox_head.header.mlp_head.1.bias")


def _student(name: str, title: str, teacher: str = TEACHER, task: Mapping[str, Any] | None = None) -> TrainedRow:
    return _row("monoocc-edge", title, name=name, teacher=teacher, task=task or {})


ABLATION = (
    _row(TEACHER, "teacher: looks back, cross view transformer"),
    _student("monoocc", "MonoOcc: all three contributions"),
    _student("monoocc-undistilled", "without distillation", teacher=""),
    _student("monoocc-no-late", "without image-conditioned attention", task={"late": False}),
    _student("monoocc-no-pixels", "without auxiliary 2-D loss", task={"semantic": False}),
)
"""The teacher first: the others imitate it."""

TABLES = {"comparison": TRAINED, "ablation": ABLATION}
"""Rows of every table that the command makes, by name."""
