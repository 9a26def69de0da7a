"""Recognition of OccDepth's and MonoScene's checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from occdepth_ros.models.loading.recognition import Shapes, fitting, shapes_of
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.network import OccDepth


def occdepth_shapes() -> dict[str, Shapes]:
    """Return the shapes of OccDepth and MonoScene in all configurations, by name."""
    return {name: shapes_of(OccDepth, config) for name, config in PRESETS.items()}


def recognise(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the OccDepth presets that have exactly these tensors; several if only untrained parts differ."""
    return fitting(state, occdepth_shapes())
