"""Owns the engine: loads the requested model, falls back to the stereo model, and retries the requested model."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.engine import Engine
from occdepth_ros.errors import CalibrationError, CheckpointError, GridError, ImageError, ModelError, OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import StatefulPredictor
from occdepth_ros.models.registry import FALLBACK_MODEL, is_exported
from occdepth_ros.nodes.conversions import ImageArray, pose_of
from occdepth_ros.nodes.faults import Component, FaultBoard, NamedError
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.stereo.pair_checks.reduced import Mask

Result = TypeVar("Result")


@dataclass(frozen=True)
class GpuMemory:
    """Memory of the GPU used by torch, MiB."""

    allocated: float
    reserved: float
    total: float


class ModelHost:
    """The model with which the node predicts.

    Args:
        settings: `model`, `weights`, `device`, `fallback*`, `warm_up` and the grid's parameters are used.
        faults: receives "checkpoint", "gpu_memory" and "model" faults.
    """

    def __init__(self, settings: Settings, faults: FaultBoard) -> None:
        self._settings = settings
        self._faults = faults
        ox, oy, oz = settings.grid_origin
        nx, ny, nz = settings.grid_size
        self.grid = VoxelGrid((ox, oy, oz), (nx, ny, nz), settings.grid_resolution, settings.grid_frame)
        self._engine: Engine | None = None
        self._fallen_at: float | None = None
        self._pose: Matrix | None = None
        self._lock = threading.RLock()

    @property
    def stateful(self) -> bool:
        """Whether the model merges earlier pairs, and therefore uses the pose of each pair."""
        return self._engine is not None and isinstance(self._engine.predictor, StatefulPredictor)

    def place(self, world_from_grid: Matrix | None) -> None:
        """Set the pose `[4, 4]` of the grid's frame in the fixed frame for the next pair; None = unknown."""
        self._pose = world_from_grid

    @property
    def name(self) -> str:
        """Name of the model in use; empty before loading."""
        return self._engine.predictor.name if self._engine else ""

    @property
    def ambiguous_share(self) -> float:
        """Share of the last left image whose match is ambiguous, see `Engine`."""
        return self._engine.ambiguous_share if self._engine else 0.0

    @property
    def device(self) -> str:
        """Device reported by the predictor, "cpu" if it reports none; empty before loading."""
        return str(getattr(self._engine.predictor, "device", "cpu")) if self._engine else ""

    @property
    def on_fallback(self) -> bool:
        """Whether the fallback model is used instead of the requested one."""
        return self._fallen_at is not None

    def load(self) -> None:
        """Load and warm up the requested model; load the fallback model after an error if `fallback` is set.

        Raises:
            OccDepthError: no model could be loaded.
        """
        try:
            self._engine = self._load(self._settings.model, self._settings.weights)
            self._fallen_at = None
            self._faults.clear_component(Component.MODEL)
        except Exception as error:
            self._fall_back(error)

    def predict(self, rig: StereoRig, left: ImageArray, right: ImageArray, stamp_ns: int) -> OccupancyPrediction:
        """Predict one pair; calibrates the engine first if the rig has changed.

        Raises:
            OccDepthError: the pair, the rig or the grid is invalid, or the model failed.
        """
        return self.begin(rig, left, right, stamp_ns)()

    def begin(
        self, rig: StereoRig, left: ImageArray, right: ImageArray, stamp_ns: int, *, blind: Mask | None = None
    ) -> Callable[[], OccupancyPrediction]:
        """Begin a pair, see `Engine.begin`; the function may be called in another thread and raises as `predict`."""
        with self._lock:
            self._retry_requested()
            pose = self._pose

            def again() -> Callable[[], OccupancyPrediction]:
                return self._begin(rig, left, right, stamp_ns, pose, blind)

            complete = self._guarded(again, again)
            engine = self._engine

        def completed() -> OccupancyPrediction:
            # the pair before may have brought another model
            return self._guarded(complete if engine is self._engine else lambda: again()(), lambda: again()())

        return completed

    def _guarded(self, function: Callable[[], Result], again: Callable[[], Result]) -> Result:
        """Call a function, and after a failure of the model `again` with the fallback model."""
        try:
            return function()
        except (ImageError, CalibrationError, GridError):
            raise
        except Exception as error:
            if not _is_out_of_memory(error) and not isinstance(error, ModelError):
                raise
            with self._lock:
                if self.on_fallback:
                    raise
                self._fall_back(error)
        with self._lock:
            return again()

    def release(self) -> None:
        """Release the model and its memory."""
        self._engine = None
        gc.collect()
        torch = _torch_with_gpu()
        if torch is not None:
            torch.cuda.empty_cache()

    @staticmethod
    def gpu_memory() -> GpuMemory | None:
        """Return the memory of the GPU; None if torch does not use a GPU."""
        torch = _torch_with_gpu()
        if torch is None:
            return None
        mib = 1024.0**2
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        return GpuMemory(torch.cuda.memory_allocated() / mib, torch.cuda.memory_reserved() / mib, total / mib)

    @staticmethod
    def gpu_load() -> float | None:
        """Return the load of the GPU, percent; None if torch does not use a GPU or nvidia-ml-py is not installed."""
        torch = _torch_with_gpu()
        try:
            return None if torch is None else float(torch.cuda.utilization())
        except Exception:  # torch raises different errors by version and driver; the load is left out then
            return None

    def _load(self, model: str, weights: str) -> Engine:
        path = Path(weights).expanduser() if weights else None
        rig = None if is_exported(path) else nominal_rig(self._settings)
        engine = Engine(rig, self.grid, model=model, weights=path, device=self._settings.device)
        if self._settings.warm_up:
            empty = np.zeros((engine.rig.left.height, engine.rig.left.width, 3), np.uint8)
            engine.predict(empty, empty)
        return engine

    def _begin(
        self,
        rig: StereoRig,
        left: ImageArray,
        right: ImageArray,
        stamp_ns: int,
        pose: Matrix | None,
        blind: Mask | None,
    ) -> Callable[[], OccupancyPrediction]:
        engine = self._engine
        if engine is None:
            raise ModelError("no model is loaded", where="model", remedy="Configure the node.")
        if engine.rig.fingerprint != rig.fingerprint:
            engine.calibrate(rig)
        return engine.begin(left, right, stamp_ns=stamp_ns, world_from_grid=pose, blind=blind)

    def _fall_back(self, error: Exception) -> None:
        """Load the fallback model, or raise the error as a `NamedError` if there is no fallback."""
        requested = self._settings.model
        named = _named(error, self._settings)
        if not self._settings.fallback or requested == FALLBACK_MODEL:
            self._faults.put(named.name, Component.MODEL, str(named))
            raise named from error
        self.release()
        self._engine = self._load(FALLBACK_MODEL, "")
        self._fallen_at = time.monotonic()
        text = f"{named} The node continues with {FALLBACK_MODEL} instead of {requested}."
        self._faults.put(named.name, Component.MODEL, text, is_error=False)

    def _retry_requested(self) -> None:
        period = self._settings.fallback_retry
        if self._fallen_at is None or not period or time.monotonic() - self._fallen_at < period:
            return
        self._fallen_at = time.monotonic()
        try:
            engine = self._load(self._settings.model, self._settings.weights)
        except Exception as error:
            named = _named(error, self._settings)
            text = f"{named} The node continues with {FALLBACK_MODEL} instead of {self._settings.model}."
            self._faults.put(named.name, Component.MODEL, text, is_error=False)
            return
        self._engine = engine
        self._fallen_at = None
        self._faults.clear_component(Component.MODEL)


def _torch_with_gpu() -> Any:
    """Return the module torch if it uses a GPU, otherwise None; another thread may be importing it."""
    torch = sys.modules.get("torch")
    is_initialized = getattr(getattr(torch, "cuda", None), "is_initialized", None)
    return torch if is_initialized is not None and is_initialized() else None


def _is_out_of_memory(error: BaseException | None) -> bool:
    if error is None:
        return False
    # compared by name, so that torch is not imported for models that do not use it
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "out of memory" in str(error):
        return True
    return _is_out_of_memory(error.__cause__)


def _named(error: Exception, settings: Settings) -> NamedError:
    if _is_out_of_memory(error):
        return NamedError(
            "gpu_memory",
            Component.MODEL,
            f"device {settings.device} is out of memory ({str(error).splitlines()[0] if str(error) else 'no details'})",
            where=settings.model,
            remedy="Free memory or use a smaller model.",
        )
    if isinstance(error, OccDepthError):
        name = "checkpoint" if isinstance(error, CheckpointError) else "model"
        return NamedError(name, Component.MODEL, error.what, where=error.where, remedy=error.remedy)
    return NamedError(
        "model",
        Component.MODEL,
        f"the model failed ({type(error).__name__}: {error})",
        where=settings.model,
        remedy="Run `occdepth doctor`, or choose another device or model.",
    )


def nominal_rig(settings: Settings) -> StereoRig:
    """Return a rig with the image size of KITTI, to load and warm up a model before a CameraInfo is received."""
    width, height, focal, baseline = 1241, 376, 718.0, 0.54
    left = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0]], np.float64)
    right = left.copy()
    right[0, 3] = -focal * baseline
    pose = pose_of(settings.camera_from_grid_translation, settings.camera_from_grid_rotation)
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)
