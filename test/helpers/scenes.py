"""Small scenes and networks for the tests of training."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.data.example import SceneExample
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import PRESETS, OccDepthConfig

AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
WIDTH, HEIGHT = 96, 64


def small_config(name: str = "occdepth-b3", **changes: Any) -> OccDepthConfig:
    """A preset that costs little: few voxels, few channels, small images."""
    small: dict[str, Any] = {
        "grid": GRID,
        "image": (HEIGHT, WIDTH),
        "feature": 8,
        "backbone": "lite0",
        "decoder_width": 0.1,
    }
    return replace(PRESETS[name], **(small | changes))


def rig(width: int = WIDTH, height: int = HEIGHT) -> StereoRig:
    """A rig whose cameras differ in everything that may differ."""
    left = np.array([[60.0, 0, width / 2 - 3, 2.4], [0, 61, height / 2 + 2, 0.1], [0, 0, 1, 0.002]])
    right = left.copy()
    right[0, 3] -= 60.0 * 0.5
    pose = AXES.copy()
    pose[:3, 3] = [0.06, -0.08, -0.27]
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)


@cache
def scene(seed: int = 0, grid: VoxelGrid = GRID, n_classes: int = 20) -> SceneExample:
    """Ground, a wall and boxes, with random images."""
    rng = np.random.default_rng(seed)
    target = np.zeros(grid.size, np.uint8)
    target[:, :, :2] = 9 % n_classes
    target[-4:, :, 2:8] = 13 % n_classes
    target[8:14, 20:26, 2:6] = 1
    target[20:, :10] = 255
    left, right = rng.integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    depth = rng.uniform(3, 60, (HEIGHT, WIDTH)).astype(np.float32)
    depth[:10], depth[10:20] = np.inf, np.nan
    semantics = rng.integers(0, n_classes, (HEIGHT, WIDTH), dtype=np.uint8)
    return SceneExample(f"{seed:06d}", left, right, rig(), grid, target, target != 255, depth, semantics)
