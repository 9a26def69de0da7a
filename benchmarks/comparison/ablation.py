"""The rows of the ablation of MonoOcc's contributions.

Each row except the teacher is monoocc-edge with all contributions or without one of them, with one budget.
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
    _row(TEACHER, "teacher: earlier images, cross view transformer"),
    _student("monoocc", "MonoOcc: all three contributions"),
    _student("monoocc-undistilled", "without distillation", teacher=""),
    _student("monoocc-no-late", "without image-conditioned attention", task={"late": False}),
    _student("monoocc-no-pixels", "without auxiliary 2-D loss", task={"semantic": False}),
)
"""Rows of the ablation; the teacher is first, because it is distilled into the others."""

TABLES = {"comparison": TRAINED, "ablation": ABLATION}
"""Rows of each table by name."""
