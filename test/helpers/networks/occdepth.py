"""A small configuration of OccDepth, and cameras for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import PinholeCamera
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import PRESETS, OccDepthConfig

AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def tiny(name: str = "occdepth-b3", **changes: Any) -> OccDepthConfig:
    grid = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
    small: dict[str, Any] = {"grid": grid, "image": (64, 96), "feature": 8}
    return replace(PRESETS[name], **(small | changes))


def views(config: OccDepthConfig) -> list[tuple[PinholeCamera, npt.NDArray[np.float64]]]:
    height, width = config.image
    k = np.array([[60.0, 0, width / 2, 0], [0, 60, height / 2, 0], [0, 0, 1, 0]])
    poses = [AXES.copy() for _ in range(config.views)]
    for i, pose in enumerate(poses):
        pose[0, 3] = -0.5 * i
    return [(PinholeCamera(k, width, height), pose) for pose in poses]
