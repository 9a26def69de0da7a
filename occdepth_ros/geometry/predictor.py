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
from occdepth_ros.geometry.labels import label_surface
from occdepth_ros.geometry.matching import SemiGlobalMatcher
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import Visibility

NEAREST_VOXELS = 15
"""Smallest depth that is matched, in voxel edges: 3 m in the 0.2 m grid of the benchmark."""


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
        self.carver = SightCarver(rig, grid, self.matcher.focal_baseline)

    def infer(self, left: Picture, right: Picture) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each."""
        clock = [time.perf_counter()]
        disparity = self.matcher.match(left, right)
        depth = self.matcher.depth(disparity)
        clock.append(time.perf_counter())
        labels = np.full(self.grid.count, UNKNOWN, np.uint8)
        confidence = np.zeros(self.grid.count, np.uint8)
        visibility = np.full(self.grid.count, Visibility.OUTSIDE, np.uint8)
        visibility[self.carver.in_view] = Visibility.HIDDEN
        free = self.carver.in_view[self.carver.free(disparity)]
        labels[free], confidence[free], visibility[free] = EMPTY, 200, Visibility.SEEN
        ends = np.flatnonzero(self.carver.hits(disparity) > 1)
        labels[ends], confidence[ends], visibility[ends] = label_surface(self.grid, ends), 64, Visibility.SEEN
        clock.append(time.perf_counter())
        matching, carving = 1e3 * np.diff(clock)
        shape = self.grid.size
        return Occupancy(
            labels.reshape(shape),
            confidence.reshape(shape),
            visibility.reshape(shape),
            depth,
            {"matching": float(matching), "carving": float(carving)},
        )
