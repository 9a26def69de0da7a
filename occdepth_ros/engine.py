"""The engine: predicts occupancy of stereo pairs with one model, one calibrated rig and one voxel grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, ImageError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.free_space import FreeSpaceSupport
from occdepth_ros.models.predictor import (
    FreeSpace,
    ImageArray,
    Occupancy,
    Predictor,
    StagedPredictor,
    StatefulPredictor,
)
from occdepth_ros.models.registry import create_predictor
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.stereo.pair_checks.swap_guard import SwapGuard

Item = TypeVar("Item")


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield each item when the next one exists, so that work on the next one may overlap with the present one.

    After an error of `items`, or an interruption, the item before it is yielded first.
    """
    held: list[Item] = []
    iterator = iter(items)
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            break
        except BaseException:
            yield from held
            raise
        yield from held
        held = [item]
    yield from held


class Engine:
    """A model with its rig and grid.

    Args:
        rig: the calibrated cameras; None uses the rig of an exported model.
        grid: the voxel grid to predict.
        model: a name of `occdepth_ros.models.registry.MODELS`.
        weights: a checkpoint file, or a model exported by `occdepth export`; None uses the model's default weights.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: the model is unknown or cannot run on this machine.
        CheckpointError: the weights are missing, damaged or of another network.
        CalibrationError, GridError: the model cannot use this rig or grid.
    """

    def __init__(
        self,
        rig: StereoRig | None,
        grid: VoxelGrid,
        *,
        model: str = "stereo-geometry",
        weights: Path | str | None = None,
        device: str = "auto",
    ) -> None:
        self.grid = grid
        self._stamp_ns = 0
        self.ambiguous_share = 0.0
        """Share of the last left image whose match is ambiguous, see `PeriodicTexture`."""
        self.predictor: Predictor = create_predictor(model, weights=weights, device=device)
        exported: StereoRig | None = getattr(self.predictor, "rig", None)
        if (chosen := rig or exported) is None:
            raise CalibrationError(f"{model} does not define a rig", where="rig", remedy="Give the calibrated cameras.")
        self.calibrate(chosen)

    def calibrate(self, rig: StereoRig, grid: VoxelGrid | None = None) -> None:
        """Set a new calibration, and optionally a new grid.

        Recomputes all per-calibration tables; call it only when the calibration changes.

        Raises:
            CalibrationError, GridError: the model cannot use this rig or grid.
        """
        grid = grid or self.grid
        self.predictor.calibrate(rig, grid)
        self.rig, self.grid = rig, grid
        self._swap_guard = SwapGuard(rig)
        self._support: FreeSpaceSupport | None = None

    def predict(
        self,
        left: ImageArray,
        right: ImageArray,
        *,
        stamp_ns: int = 0,
        world_from_grid: Matrix | None = None,
        rig: StereoRig | None = None,
        blind: npt.NDArray[np.bool_] | None = None,
    ) -> OccupancyPrediction:
        """Predict the occupancy of one rectified pair.

        Args:
            left, right: `[H, W, 3]` RGB uint8, of the rig's size.
            stamp_ns: time of the images, nanoseconds; copied to the prediction. If it is before that of the previous
                pair, as in a repeated recording, stateful models drop the earlier pairs.
            world_from_grid: pose of the grid's frame in a fixed frame, `[4, 4]`, for stateful models; None = unknown.
            rig: calibration of this pair, if the cameras move relative to the grid's frame; None = unchanged.
            blind: pixels of the left image that do not show the scene, `[h, w]` of any size with its aspect; nothing is
                free behind them (`InputChecks.static_pattern`).

        Raises:
            ImageError: an image does not have the shape and type that the calibration requires, or the images are
                swapped.
            CalibrationError: the model cannot use `rig`.
        """
        self._prepare(left, right, stamp_ns, world_from_grid, rig)
        return self._finished(partial(self.predictor.infer, left, right), left, right, stamp_ns, blind=blind)()

    def begin(
        self,
        left: ImageArray,
        right: ImageArray,
        *,
        stamp_ns: int = 0,
        world_from_grid: Matrix | None = None,
        rig: StereoRig | None = None,
        blind: npt.NDArray[np.bool_] | None = None,
    ) -> Callable[[], OccupancyPrediction]:
        """Begin a prediction that is completed later; arguments and errors as of `predict`.

        With a `StagedPredictor`, what depends on the images only is computed in other threads meanwhile. The next pair
        may therefore begin before this one is completed: the results are those of `predict`.

        Returns:
            a function that completes the prediction. The functions are called in the order of the pairs, one at a
            time; they may be called in another thread than `begin`, and a pair may be left out.
        """
        self._prepare(left, right, stamp_ns, world_from_grid, rig)
        start = time.perf_counter()
        if isinstance(self.predictor, StagedPredictor):
            complete = self.predictor.begin(left, right)
        else:
            result = self.predictor.infer(left, right)

            def complete() -> Occupancy:
                return result

        return self._finished(complete, left, right, stamp_ns, blind=blind, begun_s=time.perf_counter() - start)

    def _prepare(
        self, left: ImageArray, right: ImageArray, stamp_ns: int, world_from_grid: Matrix | None, rig: StereoRig | None
    ) -> None:
        """Check a pair, and set its calibration and pose; arguments and errors as of `predict`."""
        if rig is not None and rig.fingerprint != self.rig.fingerprint:
            self.calibrate(rig)
        for side, image in (("left", left), ("right", right)):
            expected = (self.rig.left.height, self.rig.left.width, 3)
            if image.shape != expected or image.dtype != np.uint8:
                raise ImageError(
                    f"the image is {image.dtype} {image.shape}, the calibration requires uint8 {expected}",
                    where=f"{side} image",
                    remedy="Use the CameraInfo of this camera at this resolution.",
                )
        self._swap_guard.check(left, right)
        if isinstance(self.predictor, StatefulPredictor):
            if stamp_ns < self._stamp_ns:
                self.predictor.set_pose(None)
            self._stamp_ns = stamp_ns
            self.predictor.set_pose(world_from_grid)

    def _finished(
        self,
        complete: Callable[[], Occupancy],
        left: ImageArray,
        right: ImageArray,
        stamp_ns: int,
        *,
        blind: npt.NDArray[np.bool_] | None,
        begun_s: float = 0,
    ) -> Callable[[], OccupancyPrediction]:
        """Return a function that completes a prediction, limits its free space, and notes its times.

        Args:
            complete: completes the result of the predictor.
            left, right, stamp_ns, blind: the pair, as of `predict`.
            begun_s: duration of what was computed before, seconds.
        """
        support, grid, name = self._supporting(), self.grid, self.predictor.name

        def finished() -> OccupancyPrediction:
            start = time.perf_counter()
            result = complete()
            supporting = time.perf_counter()
            self.ambiguous_share = support.apply(result, left, right, blind)
            ended = time.perf_counter()
            timings = {**result.timings_ms, "free_space": 1e3 * (ended - supporting)}
            # without the time in which the pair waited for the one before
            timings["total"] = max(sum(timings.values()), 1e3 * (begun_s + ended - start))
            return OccupancyPrediction(
                grid,
                result.labels,
                result.confidence,
                result.visibility,
                result.depth,
                stamp_ns=stamp_ns,
                model=name,
                timings_ms=timings,
            )

        return finished

    def _supporting(self) -> FreeSpaceSupport:
        """Return what marks free space as unknown that no unambiguous match supports, for every kind of predictor."""
        if self._support is None:
            kind = getattr(self.predictor, "free_space", FreeSpace.UNSUPPORTED)
            self._support = FreeSpaceSupport(self.rig, self.grid, kind)
        return self._support
