"""The model `stereo-geometry`: what two cameras measure, and nothing completed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.engine import Occupancy, Picture
from occdepth_ros.errors import ModelError
from occdepth_ros.geometry.carving import SightCarver
from occdepth_ros.geometry.ground import GroundFinder
from occdepth_ros.geometry.labels import ROAD, VEGETATION
from occdepth_ros.geometry.matching import SemiGlobalMatcher
from occdepth_ros.geometry.surface import SurfaceBinning
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import Visibility

NEAREST_VOXELS = 15
"""Smallest depth that is matched, in voxel edges: 3 m in the 0.2 m grid of the benchmark."""

GROUND_BAND = 1.5
"""A surface voxel whose centre is no more than this above the ground belongs to it, in voxel edges."""


class StereoGeometry:
    """Semi-global matching, surfaces into voxels, free space by casting rays; a `Predictor` without weights.

    Args:
        name: the name it is registered under.
        weights: must be None: there is nothing to load.
        device: accepted for the protocol's sake; it runs on the CPU.

    Raises:
        ModelError: weights were given.
    """

    def __init__(self, name: str = "stereo-geometry", weights: Path | None = None, device: str = "auto") -> None:
        if weights is not None:
            raise ModelError(f"the model {name} has no weights", where=str(weights), remedy="Leave the weights out.")
        self.name = name

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Precompute the look-up tables of one calibration."""
        self.grid = grid
        self.matcher = SemiGlobalMatcher(rig, nearest_m=NEAREST_VOXELS * grid.resolution)
        geometry = (rig, grid, self.matcher.focal_baseline)
        self.binning = SurfaceBinning(*geometry)
        self.ground = GroundFinder(*geometry)
        self.carver = SightCarver(*geometry)

    def infer(self, left: Picture, right: Picture) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each."""
        clock = [time.perf_counter()]
        disparity = self.matcher.match(left, right)
        depth = self.matcher.depth(disparity)
        clock.append(time.perf_counter())
        points = self.binning.points(disparity)
        surface = self.binning.occupied(points)
        ground = self.ground.find(points, surface, disparity)
        clock.append(time.perf_counter())
        free = self.carver.in_view[self.carver.free(disparity)]
        clock.append(time.perf_counter())
        column, layer = np.divmod(surface, self.grid.size[2])
        above = layer + 0.5 - ground.height.ravel()[column]
        obstacle = surface[above > GROUND_BAND]
        labels = np.full(self.grid.count, UNKNOWN, np.uint8)
        confidence = np.zeros(self.grid.count, np.uint8)
        visibility = np.full(self.grid.count, Visibility.OUTSIDE, np.uint8)
        visibility[self.carver.in_view] = Visibility.HIDDEN
        for voxels, label, sure in ((free, EMPTY, 230), (ground.voxels, ROAD, 128), (obstacle, VEGETATION, 90)):
            labels[voxels], confidence[voxels], visibility[voxels] = label, sure, Visibility.SEEN
        clock.append(time.perf_counter())
        timings = dict(zip(("matching", "surface", "carving", "labels"), 1e3 * np.diff(clock), strict=True))
        shape = self.grid.size
        return Occupancy(
            labels.reshape(shape),
            confidence.reshape(shape),
            visibility.reshape(shape),
            depth,
            {stage: float(ms) for stage, ms in timings.items()},
        )
