"""Engine: calibrated rig + voxel grid + model -> predict(left, right) -> OccupancyPrediction."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, ImageError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import ImageArray, PlacedPredictor, Predictor
from occdepth_ros.models.registry import create_predictor
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.stereo.swap_guard import SwapGuard


class Engine:
    """One model on one rig and one grid.

    Args:
        rig: the calibrated cameras; None takes those that an exported model was made for.
        grid: the voxels to predict.
        model: a name of `occdepth_ros.models.registry.MODELS`.
        weights: a checkpoint file, or what `occdepth export` made of one; None takes the model's own weights, where it
            needs any.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError, CheckpointError, CalibrationError, GridError: as their texts say.
    """

    def __init__(
        self,
        rig: StereoRig | None,
        grid: VoxelGrid,
        *,
        model: str = "stereo-geometry",
        weights: Path | None = None,
        device: str = "auto",
    ) -> None:
        self.grid = grid
        self.predictor: Predictor = create_predictor(model, weights=weights, device=device)
        known: StereoRig | None = getattr(self.predictor, "rig", None)
        if (chosen := rig or known) is None:
            raise CalibrationError(f"{model} is bound to no rig", where="rig", remedy="Give the calibrated cameras.")
        self.calibrate(chosen)

    def calibrate(self, rig: StereoRig, grid: VoxelGrid | None = None) -> None:
        """Take over a new calibration, and another grid if one is given.

        Costs the per-calibration tables, so call it on change only.
        """
        grid = grid or self.grid
        self.predictor.calibrate(rig, grid)
        self.rig, self.grid = rig, grid
        self._swap_guard = SwapGuard(rig)

    def predict(
        self, left: ImageArray, right: ImageArray, *, stamp_ns: int = 0, world_from_grid: Matrix | None = None
    ) -> OccupancyPrediction:
        """Complete the scene of one rectified pair.

        Args:
            left, right: `[H, W, 3]` RGB uint8, of the rig's size.
            stamp_ns: time of the images, nanoseconds; passed through.
            world_from_grid: pose of the grid's frame in a fixed one, `[4, 4]`, for models that remember earlier pairs;
                None = not known.

        Raises:
            ImageError: an image has another size, shape or type than the calibration, or they are swapped.
        """
        for side, image in (("left", left), ("right", right)):
            expected = (self.rig.left.height, self.rig.left.width, 3)
            if image.shape != expected or image.dtype != np.uint8:
                raise ImageError(
                    f"the image is {image.dtype} {image.shape}, the calibration wants uint8 {expected}",
                    where=f"{side} image",
                    remedy="Use the CameraInfo that belongs to this image, at this resolution.",
                )
        self._swap_guard.check(left, right)
        start = time.perf_counter()
        if isinstance(self.predictor, PlacedPredictor):
            self.predictor.place(world_from_grid)
        result = self.predictor.infer(left, right)
        timings = dict(result.timings_ms)
        timings["total"] = 1e3 * (time.perf_counter() - start)
        return OccupancyPrediction(
            self.grid,
            result.labels,
            result.confidence,
            result.visibility,
            result.depth,
            stamp_ns=stamp_ns,
            model=self.predictor.name,
            timings_ms=timings,
        )
