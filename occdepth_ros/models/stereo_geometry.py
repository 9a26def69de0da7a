"""The model `stereo-geometry`: occupied and free voxels from stereo matching alone, without completion."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.free_space.carving import RayCarver
from occdepth_ros.stereo.ground.estimation import Ground, GroundFinder
from occdepth_ros.stereo.labels import SurfaceLabels
from occdepth_ros.stereo.occupancy import WORKING_WIDTH, StereoOccupancy

GROUND_BAND = 1.5
"""Largest height of the centre of a ground voxel above the ground, voxel edges."""
FREE_CONFIDENCE = 254
"""Confidence of free voxels: 0.4 % of them are occupied in the ground truth recon10 of KITTI."""
GROUND_CONFIDENCE = 165
"""Confidence of ground voxels: in the same ground truth 65 % have the right class, and 93 % are occupied."""


class StereoGeometry:
    """Semi-global matching, binning of surface points, and ray carving; a `Predictor` without weights.

    Voxels that hold matched surface points are occupied, voxels that rays pass through are free, and all others are
    unknown. The confidence of free space and ground is the share of right labels on KITTI; that of obstacles is the
    voxel edge over the edge plus the depth error, which falls from 0.9 nearby to 0.1 at 40 m.

    Args:
        name: registered name.
        weights: must be None, because the model has no weights.
        device: ignored; the model runs on the CPU.
        working_width: larger images are matched at the integer fraction of their size that is nearest to this width,
            pixels.

    Raises:
        ModelError: weights were given.
    """

    free_space = FreeSpace.SUPPORTED

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
        stereo = self.stereo = StereoOccupancy(rig, grid, working_width=self._working_width)
        self.matcher, self.binning = stereo.matcher, stereo.binning
        geometry = (stereo.rig, grid, self.matcher.focal_baseline)
        self.ground = GroundFinder(*geometry)
        self.carver = RayCarver(*geometry)
        self.labels = SurfaceLabels(stereo.rig, grid)
        self._unseen = np.full(grid.count, Visibility.OUTSIDE, np.uint8)
        self._unseen[self.carver.in_view] = Visibility.HIDDEN

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each."""
        clock = [time.perf_counter()]
        left, right = self.stereo.resized(left), self.stereo.resized(right)
        disparity, depth = self.stereo.match(left, right)
        clock.append(time.perf_counter())
        points = self.binning.points(disparity)
        surface = self.binning.occupied(points)
        ground = self.ground.find(points, surface, disparity)
        clock.append(time.perf_counter())
        free = self.carver.in_view[self.carver.carve(disparity).free]
        clock.append(time.perf_counter())
        confirmed = ground.confirmed.ravel()[ground.voxels // self.grid.size[2]]
        on_ground = ground.voxels[confirmed]
        # surfaces at ground height that are not extended like ground are obstacles
        obstacle = np.union1d(surface[self._above(surface, ground) > GROUND_BAND], ground.voxels[~confirmed])
        labels = np.full(self.grid.count, UNKNOWN, np.uint8)
        confidence = np.zeros(self.grid.count, np.uint8)
        visibility = self._unseen.copy()
        of_ground, of_obstacles = self.labels.label(on_ground, obstacle, self._above(obstacle, ground), left)
        for voxels, classes, certainty in (
            (free, EMPTY, FREE_CONFIDENCE),
            (on_ground, of_ground, GROUND_CONFIDENCE),
            (obstacle, of_obstacles, self.binning.sharpness(obstacle)),
        ):
            labels[voxels], confidence[voxels], visibility[voxels] = classes, certainty, Visibility.SEEN
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

    def _above(self, voxels: npt.NDArray[np.intp], ground: Ground) -> npt.NDArray[np.float64]:
        """Return the height of voxel centres above the ground, voxel edges, `[N]`."""
        column, layer = np.divmod(voxels, self.grid.size[2])
        return layer + 0.5 - ground.height.ravel()[column]
