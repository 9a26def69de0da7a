"""Pairs that stereo matching finds something in: a textured wall across the view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from helpers.scenes import HEIGHT, WIDTH, scene
from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.data.example import SceneExample
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.comparison.surface import MatchedSurface
from occdepth_ros.stereo.occupancy import StereoOccupancy


def rig_of(height: int = 64, width: int = 192) -> StereoRig:
    k = np.array([[0.5 * width, 0, width / 2], [0, 0.5 * width, height / 2], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    right = np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    return StereoRig(
        PinholeCamera(np.hstack([k, np.zeros((3, 1))]), width, height), PinholeCamera(right, width, height), pose
    )


def wall(depth: float = 4.0, height: int = 64, width: int = 192, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The wall before the cameras of `rig_of`: the right image is the left one moved by fx * baseline / depth."""
    return moved(round(0.5 * width * 0.5 / depth), height, width, seed)


def moved(shift: int, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels, and the same `shift` pixels further left."""
    texture = np.random.default_rng(seed).integers(0, 256, (height, width + shift, 3), dtype=np.uint8)
    return np.ascontiguousarray(texture[:, :width]), np.ascontiguousarray(texture[:, shift:])


def surface_of(grid: VoxelGrid, depth: float = 4.0) -> MatchedSurface:
    """Result of matching the wall."""
    stereo = StereoOccupancy(rig_of(), grid)
    left, right = wall(depth)
    return MatchedSurface.of(stereo, left, stereo.match(left, right)[0])


def matchable(seed: int = 0, shift: int = 8) -> SceneExample:
    """The scene of `helpers.scenes`, with images of a wall: fx * baseline / shift = 3.75 m away."""
    left, right = moved(shift, HEIGHT, WIDTH, seed)
    return replace(scene(), left=left, right=right)
