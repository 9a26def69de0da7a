"""The model `stereo-geometry`: what two cameras measure, and nothing completed."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.errors import ModelError
from occdepth_ros.geometry.carving import SightCarver
from occdepth_ros.geometry.ground import GroundFinder
from occdepth_ros.geometry.labels import SurfaceLabels
from occdepth_ros.geometry.matching import SemiGlobalMatcher
from occdepth_ros.geometry.surface import SurfaceBinning
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import Visibility
from occdepth_ros.predictor import Occupancy, Picture

WORKING_WIDTH = 640
"""Pictures are matched at about this width, pixels. Full KITTI size takes 2.5 times as long (76 against 30 ms) and
gains 0.6 points of SC IoU on recon10 (`make bench`)."""
NEAREST_VOXELS = 15
"""Smallest depth that is matched, in voxel edges: 3 m in the 0.2 m grid of the benchmark."""

GROUND_BAND = 1.5
"""A surface voxel whose centre is no more than this above the ground belongs to it, in voxel edges."""
FREE_CONFIDENCE = 254
"""Of free voxels, 0.4 % are occupied in the truth that this was measured on (recon10)."""
GROUND_CONFIDENCE = 165
"""Of ground voxels, 65 % have the right class there, and 93 % are occupied."""


class StereoGeometry:
    """Semi-global matching, surfaces into voxels, free space by casting rays; a `Predictor` without weights.

    Occupied is what matched pixels end in, free is what lines of sight pass through, all else is unknown: nothing is
    completed. Confidence is the measured share of right labels for free space and ground; for obstacles it is the
    share of the depth error that stays within the voxel, and falls from 0.9 nearby to 0.1 at forty metres.

    Args:
        name: the name it is registered under.
        weights: must be None: there is nothing to load.
        device: accepted for the protocol's sake; it runs on the CPU.
        working_width: larger pictures are matched at the whole fraction of their size that comes nearest to this
            width, pixels.

    Raises:
        ModelError: weights were given.
    """

    def __init__(
        self,
        name: str = "stereo-geometry",
        weights: Path | None = None,
        device: str = "auto",
        working_width: int = WORKING_WIDTH,
    ) -> None:
        if weights is not None:
            raise ModelError(f"the model {name} has no weights", where=str(weights), remedy="Leave the weights out.")
        self.name = name
        self._working_width = working_width

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Precompute the look-up tables of one calibration."""
        self.grid = grid
        self._size = (rig.left.width, rig.left.height)
        shrink = max(1, round(rig.left.width / self._working_width))
        rig = rig.scaled(rig.left.width // shrink, rig.left.height // shrink) if shrink > 1 else rig
        self._working_size = (rig.left.width, rig.left.height)
        self.matcher = SemiGlobalMatcher(rig, nearest_m=NEAREST_VOXELS * grid.resolution)
        geometry = (rig, grid, self.matcher.focal_baseline)
        self.binning = SurfaceBinning(*geometry)
        self.ground = GroundFinder(*geometry)
        self.carver = SightCarver(*geometry)
        self.labels = SurfaceLabels(rig, grid)
        self._unseen = np.full(grid.count, Visibility.OUTSIDE, np.uint8)
        self._unseen[self.carver.in_view] = Visibility.HIDDEN

    def infer(self, left: Picture, right: Picture) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each."""
        clock = [time.perf_counter()]
        if self._working_size != self._size:
            left, right = (self._shrunk(picture) for picture in (left, right))
        disparity = self.binning.without_splinters(self.matcher.match(left, right))
        depth = self.matcher.depth(disparity)
        if self._working_size != self._size:
            # nearest: a mean over an edge would be a depth where nothing is
            depth = np.asarray(cv2.resize(depth, self._size, interpolation=cv2.INTER_NEAREST), np.float32)
        clock.append(time.perf_counter())
        points = self.binning.points(disparity)
        surface = self.binning.occupied(points)
        ground = self.ground.find(points, surface, disparity)
        clock.append(time.perf_counter())
        free = self.carver.in_view[self.carver.free(disparity)]
        clock.append(time.perf_counter())
        column, layer = np.divmod(surface, self.grid.size[2])
        above = layer + 0.5 - ground.height.ravel()[column]
        is_obstacle = above > GROUND_BAND
        obstacle = surface[is_obstacle]
        labels = np.full(self.grid.count, UNKNOWN, np.uint8)
        confidence = np.zeros(self.grid.count, np.uint8)
        visibility = self._unseen.copy()
        of_ground, of_obstacles = self.labels.label(ground.voxels, obstacle, above[is_obstacle], left)
        for voxels, classes, sure in (
            (free, EMPTY, FREE_CONFIDENCE),
            (ground.voxels, of_ground, GROUND_CONFIDENCE),
            (obstacle, of_obstacles, self.binning.sharpness(obstacle)),
        ):
            labels[voxels], confidence[voxels], visibility[voxels] = classes, sure, Visibility.SEEN
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

    def _shrunk(self, picture: Picture) -> Picture:
        return np.asarray(cv2.resize(picture, self._working_size, interpolation=cv2.INTER_AREA), np.uint8)
