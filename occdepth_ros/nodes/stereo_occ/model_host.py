"""Holds the engine: loads the wished model, falls back to stereo geometry, and finds its way back."""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class GpuMemory:
    """Memory of the GPU that torch uses, MiB."""

    allocated: float
    reserved: float
    total: float


class ModelHost:
    """The model that the node predicts with.

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

    @property
    def stateful(self) -> bool:
        """Whether the model looks at earlier pairs, and wants to be told where each was taken."""
        return self._engine is not None and isinstance(self._engine.predictor, StatefulPredictor)

    def place(self, world_from_grid: Matrix | None) -> None:
        """Say where the grid's frame is when the next pair is taken, `[4, 4]`; None = not known."""
        self._pose = world_from_grid

    @property
    def name(self) -> str:
        """Name of the model that predicts now; empty before loading."""
        return self._engine.predictor.name if self._engine else ""

    @property
    def device(self) -> str:
        """Where it runs, as the predictor says, otherwise as it was asked."""
        return str(getattr(self._engine.predictor, "device", "cpu")) if self._engine else ""

    @property
    def on_fallback(self) -> bool:
        """Whether another model predicts than the wished one."""
        return self._fallen_at is not None

    def load(self) -> None:
        """Load the wished model and warm it up; fall back where that is allowed.

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
        """Predict one pair, after calibrating where the rig is a new one.

        Raises:
            OccDepthError: the pair, the rig or the grid cannot be used, or the model failed.
        """
        self._retry_requested()
        try:
            return self._predict(rig, left, right, stamp_ns)
        except (ImageError, CalibrationError, GridError):
            raise
        except Exception as error:
            if not _is_out_of_memory(error) and not isinstance(error, ModelError):
                raise
            if self.on_fallback:
                raise
            self._fall_back(error)
        return self._predict(rig, left, right, stamp_ns)

    def release(self) -> None:
        """Give the model and its memory back."""
        self._engine = None
        gc.collect()
        torch = _torch_with_gpu()
        if torch is not None:
            torch.cuda.empty_cache()

    @staticmethod
    def gpu_memory() -> GpuMemory | None:
        """Memory of the GPU; None where torch has not used one."""
        torch = _torch_with_gpu()
        if torch is None:
            return None
        mib = 1024.0**2
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        return GpuMemory(torch.cuda.memory_allocated() / mib, torch.cuda.memory_reserved() / mib, total / mib)

    def _load(self, model: str, weights: str) -> Engine:
        path = Path(weights).expanduser() if weights else None
        rig = None if is_exported(path) else _nominal_rig(self._settings)
        engine = Engine(rig, self.grid, model=model, weights=path, device=self._settings.device)
        if self._settings.warm_up:
            empty = np.zeros((engine.rig.left.height, engine.rig.left.width, 3), np.uint8)
            engine.predict(empty, empty)
        return engine

    def _predict(self, rig: StereoRig, left: ImageArray, right: ImageArray, stamp_ns: int) -> OccupancyPrediction:
        engine = self._engine
        if engine is None:
            raise ModelError("no model is loaded", where="model", remedy="Configure the node.")
        if engine.rig.fingerprint != rig.fingerprint:
            engine.calibrate(rig)
        return engine.predict(left, right, stamp_ns=stamp_ns, world_from_grid=self._pose)

    def _fall_back(self, error: Exception) -> None:
        """Replace the model by the one without weights, or pass the error on as a named one."""
        requested = self._settings.model
        named = _named(error, self._settings)
        if not self._settings.fallback or requested == FALLBACK_MODEL:
            self._faults.put(named.name, Component.MODEL, str(named))
            raise named from error
        self.release()
        self._engine = self._load(FALLBACK_MODEL, "")
        self._fallen_at = time.monotonic()
        text = f"{named} Going on with {FALLBACK_MODEL} instead of {requested}."
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
            text = f"{named} Going on with {FALLBACK_MODEL} instead of {self._settings.model}."
            self._faults.put(named.name, Component.MODEL, text, is_error=False)
            return
        self._engine = engine
        self._fallen_at = None
        self._faults.clear_component(Component.MODEL)


def _torch_with_gpu() -> Any:
    """The module torch where it uses a GPU, otherwise None; another thread may just be importing it."""
    torch = sys.modules.get("torch")
    is_initialized = getattr(getattr(torch, "cuda", None), "is_initialized", None)
    return torch if is_initialized is not None and is_initialized() else None


def _is_out_of_memory(error: BaseException | None) -> bool:
    if error is None:
        return False
    # torch is not imported for its exception type: a model without torch must not pay for it
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "out of memory" in str(error):
        return True
    return _is_out_of_memory(error.__cause__)


def _named(error: Exception, settings: Settings) -> NamedError:
    if _is_out_of_memory(error):
        return NamedError(
            "gpu_memory",
            Component.MODEL,
            f"the memory of {settings.device} is full ({str(error).splitlines()[0] if str(error) else 'no details'})",
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


def _nominal_rig(settings: Settings) -> StereoRig:
    """A rig of KITTI's size, to load and warm up a model before the cameras have said what they are."""
    width, height, focal, baseline = 1241, 376, 718.0, 0.54
    left = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0]], np.float64)
    right = left.copy()
    right[0, 3] = -focal * baseline
    pose = pose_of(settings.camera_from_grid_translation, settings.camera_from_grid_rotation)
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)
