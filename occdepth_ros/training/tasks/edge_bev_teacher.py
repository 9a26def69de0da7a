"""Occupancy predicted by another network as a second target, for ground truth that labels only a part of the grid."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.engine import Engine

MIN_UNKNOWN = 0.05
"""Share of unknown voxels from which a scene has a second target; synthetic scenes have none."""
CACHED = 192
"""Number of scenes whose prediction is cached by each process that prepares scenes, 2 MB each."""


class OccupancyTeacher:
    """Predicts the occupancy of scenes, with a cache in memory.

    Args:
        model: name of a model with shipped weights.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._engine: Engine | None = None
        self._cache: OrderedDict[str, npt.NDArray[np.uint8]] = OrderedDict()

    def __call__(self, example: SceneExample) -> npt.NDArray[np.uint8]:
        """Return the occupancy of a scene, `[X, Y, Z]` uint8: 0 free, 1 occupied, 255 unknown; everything is unknown
        where the ground truth is complete.

        Raises:
            ModelError, CheckpointError, CalibrationError, GridError: as for `Engine`.
        """
        if (example.target == UNKNOWN).mean() < MIN_UNKNOWN:
            return np.full(example.target.shape, UNKNOWN, np.uint8)
        key = f"{example.name} {example.rig.fingerprint} {example.grid}"
        if key not in self._cache:
            labels = self._predicted(example)
            self._cache[key] = np.where(labels == UNKNOWN, UNKNOWN, labels != EMPTY).astype(np.uint8)
        self._cache.move_to_end(key)
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return self._cache[key]

    def _predicted(self, example: SceneExample) -> npt.NDArray[np.uint8]:
        # created here, because processes that prepare scenes cannot inherit the threads of an engine
        if self._engine is None:
            self._engine = Engine(example.rig, example.grid, model=self.model, device="cpu")
        else:
            self._engine.calibrate(example.rig, example.grid)
        return self._engine.predict(example.left, example.right).labels
