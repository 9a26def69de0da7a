"""Evaluation of a model on the scenes of a data set: predict, align with the ground truth's grid, count."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.earlier import PosedPair
from occdepth_ros.data.example import SceneExample
from occdepth_ros.engine import Engine, one_ahead
from occdepth_ros.evaluation.alignment import comparable_labels
from occdepth_ros.evaluation.regions import Mask, fixed_regions, visibility_regions
from occdepth_ros.evaluation.report import SetScores
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import GroundFollower, PixelClassifier, StatefulPredictor
from occdepth_ros.models.registry import DEFAULT_MODEL, MODELS
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID


def default_alignment(model: str) -> str:
    """Return the default alignment of a model, see `SceneModel`: "index" for published checkpoints, else "place"."""
    return "index" if MODELS[model].published else "place"


class SceneModel:
    """Predicts scenes with one engine, which is calibrated again only if rig or grid change.

    Args:
        model: a name of `occdepth_ros.models.registry.MODELS`.
        weights: a checkpoint file; None = the model's own weights.
        device: "auto", "cpu", "cuda" or "cuda:N".
        align: "place" predicts the voxels of the ground truth; "index" predicts the grid of published networks, 0.2 m
            above the benchmark's, and compares it with the ground truth index by index, as in their training.
        follows_ground: whether networks that can do so predict in a frame that follows the measured ground.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        weights: Path | None = None,
        device: str = "auto",
        align: str = "place",
        follows_ground: bool = True,
    ) -> None:
        self.model, self.align, self.follows_ground = model, align, follows_ground
        self._weights, self._device = weights, device
        self._engine: Engine | None = None
        self._regions_of = ""
        self._regions: dict[str, Mask] = {}

    def grid_of(self, ground_truth: VoxelGrid) -> VoxelGrid:
        """Return the prediction grid for a ground truth on `grid`."""
        if self.align == "index" and replace(ground_truth, frame_id=BENCHMARK_GRID.frame_id) == BENCHMARK_GRID:
            return VoxelGrid.semantic_kitti(ground_truth.frame_id)
        return ground_truth

    def engine_for(self, example: SceneExample) -> Engine:
        """Return the engine, calibrated for a scene.

        Raises:
            ModelError, CheckpointError, CalibrationError, GridError: as for `Engine`.
        """
        grid = self.grid_of(example.grid)
        if self._engine is None:
            self._engine = Engine(example.rig, grid, model=self.model, weights=self._weights, device=self._device)
            if isinstance(self._engine.predictor, GroundFollower):
                self._engine.predictor.follows_ground = self.follows_ground
        elif (example.rig.fingerprint, grid) != (self._engine.rig.fingerprint, self._engine.grid):
            self._engine.calibrate(example.rig, grid)
        return self._engine

    def predict(self, example: SceneExample, memory: int = 0) -> OccupancyPrediction:
        """Complete one scene; arguments and errors as of `begin`."""
        return self.begin(example, memory)()

    def begin(self, example: SceneExample, memory: int = 0) -> Callable[[], OccupancyPrediction]:
        """Begin the completion of one scene, which may overlap with that of the scene before, see `Engine.begin`.

        Args:
            example: the scene.
            memory: number of earlier pairs that a stateful model predicts first; 0 = none. These pairs and the scene
                overlap with each other only.

        Returns:
            a function that completes the scene; the functions are called in the order of the scenes.

        Raises:
            OccDepthError: model, calibration or images are not usable; for scenes with memory, raised by the function.
        """
        if memory and example.history is not None:
            return partial(self._remembering, example, memory)
        return self.engine_for(example).begin(example.left, example.right)

    def _remembering(self, example: SceneExample, memory: int) -> OccupancyPrediction:
        """Predict the earlier pairs of a scene, and complete it."""
        engine = self.engine_for(example)
        if example.history is None or not isinstance(engine.predictor, StatefulPredictor):
            return engine.predict(example.left, example.right)
        engine.predictor.set_pose(None)
        pairs: list[PosedPair | SceneExample] = [*example.history(memory), example]
        begun = (engine.begin(pair.left, pair.right, world_from_grid=pair.world_from_grid) for pair in pairs)
        return deque((complete() for complete in one_ahead(begun)), maxlen=1)[0]

    def regions(self, example: SceneExample, prediction: OccupancyPrediction) -> Mapping[str, Mask]:
        """Return the separately scored parts of the scene by name; masks broadcast to `[X, Y, Z]`.

        The visibility of the frame is taken from the ground truth if it is available there, which makes it equal for
        all models, and otherwise from the prediction.
        """
        key = f"{example.rig.fingerprint} {example.grid}"
        if key != self._regions_of:
            self._regions_of, self._regions = key, fixed_regions(example.grid, example.rig)
        visibility = prediction.visibility
        if example.seen is not None:
            seen = example.seen & self._regions["in_view"]
            visibility = np.where(seen, np.uint8(Visibility.SEEN), np.uint8(Visibility.HIDDEN))
        return {**self._regions, **visibility_regions(visibility)}

    def count(self, scores: SetScores, example: SceneExample, prediction: OccupancyPrediction) -> None:
        """Add a prediction of this scene to the scores; scenes are named SEQUENCE/FRAME, or FRAME alone.

        Models that classify pixels are also scored on the labelled pixels of the scene, such as from a projected LiDAR
        scan; where the scene has depth, so is the predicted depth.

        Raises:
            GridError: prediction and ground truth differ in shape, or a label is neither a class nor 255.
        """
        labels: npt.NDArray[np.uint8] = prediction.labels
        if self.align == "place":
            labels = comparable_labels(labels, prediction.grid, example.grid, example.target)
        sequence, _, frame = example.name.rpartition("/")
        regions = self.regions(example, prediction)
        scores.add(sequence, frame, labels, example.target, regions, prediction.confidence)
        if example.depth is not None:
            scores.disparity.add(prediction.depth, example.depth, example.rig)
        predictor = self.engine_for(example).predictor
        if example.semantics is not None and isinstance(predictor, PixelClassifier):
            # sky is not a voxel class and is not scored
            pixel_labels = np.where(example.semantics == EMPTY, UNKNOWN, example.semantics)
            scores.pixels.add(predictor.pixel_classes(example.left), pixel_labels)
