"""Predictor of the bird's-eye-view architecture."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.calibration_tables import CalibrationTables, compared_depth
from occdepth_ros.models.edge_bev.config import PRESETS
from occdepth_ros.models.edge_bev.evidence import Measurement, StereoEvidence
from occdepth_ros.models.edge_bev.image_network import STRIDE, normalized
from occdepth_ros.models.edge_bev.levelling import LevelFrame, LevelFrames, unknown_below_ground
from occdepth_ros.models.edge_bev.loading import SHIPPED, load_network
from occdepth_ros.models.edge_bev.memory import MemoryContent, SceneMemory
from occdepth_ros.models.edge_bev.optimized.network import optimized
from occdepth_ros.models.edge_bev.optimized.precision import BevPrecision, pick_bev_precision
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.readout import VoxelProbabilities, decide, voxel_probabilities, zones
from occdepth_ros.models.edge_bev.scene_inputs import SceneInputs, scene_inputs
from occdepth_ros.models.edge_bev.tables import BevTables
from occdepth_ros.models.images import ImageFit, resized
from occdepth_ros.models.network_predictor import NetworkPredictor, occupancy_of, timed
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.models.readout import VisibilityTable
from occdepth_ros.models.runtime.inference import stored_as
from occdepth_ros.models.runtime.memory import keep_freed_memory, memory_guard
from occdepth_ros.models.runtime.parallel import Workers
from occdepth_ros.models.runtime.timing import StageClock
from occdepth_ros.models.trained_height import shifted, trained_grid


class BevNetwork(Protocol):
    """Network of the predictor: the reference, the optimized one, or an exported one."""

    limits: torch.Tensor
    calibration: torch.Tensor
    inverse_depth_error: torch.Tensor

    @property
    def image_network(self) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Maps images to class logits and features, see `ImageNetwork`."""

    def begin(self, logits: torch.Tensor, features: torch.Tensor) -> Callable[[SceneInputs], BevOutput]:
        """See `EdgeBev.begin`."""


@dataclass(frozen=True)
class EncodedPair:
    """What depends on the images of one pair only.

    Args:
        logits: class logits of the left image, `[1, N_CLASSES, h, w]`.
        complete: completes the scene of the image, see `EdgeBev.begin`.
        measured: result of matching, in the frame of `projection`.
        level: frame that follows the ground; None = the grid's own.
        projection: tables of this frame.
        comparing: see `compared_depth`.
    """

    logits: torch.Tensor
    complete: Callable[[SceneInputs], BevOutput]
    measured: Measurement
    level: LevelFrame | None
    projection: BevTables
    comparing: Future[tuple[torch.Tensor, torch.Tensor]]


class EdgeBevPredictor(NetworkPredictor[CalibrationTables]):
    """occdepth-edge or occdepth-edge-kitti with loaded weights on one device.

    Args:
        name: a key of `SHIPPED`.
        weights: weights file, "random", or None for the shipped weights.
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N"; matching runs on the CPU.
        precision: number format of the convolutions; "int8" computes the bird's-eye view in 8-bit numbers on a CPU and
            all else in the fastest format; "auto" selects what is fastest on this machine.

    Raises:
        ModelError: the name or the device does not exist, the device has too little memory, or it does not multiply
            8-bit numbers.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    free_space = FreeSpace.MATCHED_DEPTH

    def __init__(
        self, *, name: str, weights: Path | str | None = None, device: str = "auto", precision: BevPrecision = "auto"
    ) -> None:
        super().__init__(name, weights, device, SHIPPED)
        self.config = PRESETS[name]
        self.dtype, self.quantized = pick_bev_precision(precision, self.device)
        keep_freed_memory(self.device)
        self._workers = Workers()
        self.network: BevNetwork = self._loaded(name, weights)
        self._inverse_depth_error = float(self.network.inverse_depth_error)
        self.follows_ground = True
        """Whether the network's frame follows the measured ground, and voxels below the ground are unknown."""
        self.observer: Callable[[VoxelProbabilities, Measurement], None] | None = None
        """Called with the output of every pair before limits and calibration are applied."""
        # leaves one core to matching; with all of torch's threads, as in the calling thread, those that wait for work
        # keep the cores busy, and the CPU time of a pair doubles
        threads = max(1, torch.get_num_threads() - 1)
        self._main_worker, self._completion_worker = Workers(1, threads), Workers(1, threads)
        # of its own: the parts of a completion would queue behind the matching of the next pair
        self._matching_worker = Workers(1)
        self._pose: Matrix | None = None
        self._is_reset = False
        self._memory: SceneMemory | None = None
        self._update: Future[None] | None = None

    def _loaded(self, name: str, weights: Path | str | None) -> BevNetwork:
        """Load the network onto the device, in the number format of the predictor."""
        network = load_network(name, weights).eval().requires_grad_(False)
        with memory_guard(self.name, self.device):
            ready = optimized(network, self.dtype, self._workers, self.device, quantized=self.quantized).to(self.device)
            return stored_as(ready, self.dtype)

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept grids of the trained resolution and height, see `BevConfig.check_grid`."""
        self.config.check_grid(grid)

    def tables(self, rig: StereoRig, grid: VoxelGrid) -> CalibrationTables:
        """Return the tables of one calibration.

        Raises:
            CalibrationError: the images are too small to be matched.
        """
        fit = ImageFit.between((rig.left.height, rig.left.width), self.config.image)
        network_rig = fit.rig(rig)
        trained, layers = trained_grid(grid)
        return CalibrationTables(
            fit,
            StereoEvidence(network_rig, trained),
            BevTables.of_rig(network_rig, trained, self.config.image),
            VisibilityTable.of_camera(grid, network_rig.left, network_rig.left_from_grid).to(self.device),
            layers,
            LevelFrames(network_rig, trained, self.config.image),
            trained,
        )

    def set_pose(self, world_from_grid: Matrix | None) -> None:
        """Set the pose of the next pair, see `occdepth_ros.models.predictor.StatefulPredictor`."""
        self._pose = world_from_grid
        self._is_reset |= world_from_grid is None

    def begin(self, left: ImageArray, right: ImageArray) -> Callable[[], Occupancy]:
        """Begin a pair, see `occdepth_ros.models.predictor.StagedPredictor`.

        Raises:
            ModelError: `calibrate` was not called.
        """
        tables, clock, placed = self._calibrated(), self.clock(), self._placed()
        encoding = self._main_worker.submit(self._encode, tables, (left, right), clock)

        def complete() -> Occupancy:
            with memory_guard(self.name, self.device):
                completing = self._completion_worker.submit(self._complete, tables, encoding.result(), *placed, clock)
                return timed(completing.result(), clock)

        return complete

    def predict(self, tables: CalibrationTables, images: tuple[ImageArray, ImageArray], clock: StageClock) -> Occupancy:
        """Predict one pair, both stages in one thread, see `NetworkPredictor.predict`."""
        placed = self._placed()

        def both() -> Occupancy:
            return self._complete(tables, self._encode(tables, images, clock), *placed, clock)

        return self._main_worker.submit(both).result()

    def _placed(self) -> tuple[Matrix | None, bool]:
        """Return the pose of the next pair, and whether it begins without memory."""
        is_reset, self._is_reset = self._is_reset, False
        return self._pose, is_reset

    @torch.inference_mode()
    def _encode(
        self, tables: CalibrationTables, images: tuple[ImageArray, ImageArray], clock: StageClock
    ) -> EncodedPair:
        """What depends on the images of the pair only."""
        network = self.network
        other = self._matching_worker.submit(resized, images[1], tables.fit)
        left = resized(images[0], tables.fit)
        matching = self._matching_worker.submit(self._measure, tables, left, other)
        image = self._input(left)
        clock.lap("preprocess")
        logits, features = network.image_network(image)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            complete = network.begin(logits, features)
            clock.lap("image")
            measured, level, comparing = matching.result()
        projection = tables.projection if level is None else level.projection
        clock.lap("matching")
        return EncodedPair(logits, complete, measured, level, projection, comparing)

    def _measure(
        self, tables: CalibrationTables, left: ImageArray, right: Future[ImageArray]
    ) -> tuple[Measurement, LevelFrame | None, Future[tuple[torch.Tensor, torch.Tensor]]]:
        """Match a pair; return the result, its frame, None = the grid's own, and the running `compared_depth`."""
        disparity = tables.evidence.match(left, right.result())
        comparing = self._workers.submit(compared_depth, tables, disparity)
        disparity = tables.evidence.as_trained(disparity, self._inverse_depth_error)
        if self.follows_ground:
            return *tables.levels.measure(tables.evidence, disparity), comparing
        return tables.evidence.of_disparity(disparity), None, comparing

    @torch.inference_mode()
    def _complete(
        self, tables: CalibrationTables, encoded: EncodedPair, pose: Matrix | None, is_reset: bool, clock: StageClock
    ) -> Occupancy:
        """Complete a pair, with the memory of the pairs before."""
        clock.resume()
        network, measured, level, projection = self.network, encoded.measured, encoded.level, encoded.projection
        if is_reset:
            self._finish_update()
            self._memory = None
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            world_from_frame = pose
            if world_from_frame is not None and level is not None:
                world_from_frame = world_from_frame @ level.grid_from_level
            memory = self._read_memory(tables.grid, world_from_frame)
            scene = scene_inputs(measured, projection, self.device, memory, self._workers)
            clock.lap("evidence")
            # in a worker, while the completion does not use all of them
            zoning = self._workers.submit(zones, scene.state, scene.evidence, scene.rows, scene.columns)
            output = encoded.complete(scene)
            clock.lap("completion")
            zone, offset = zoning.result(), self.config.person_offset
            if self.observer is not None:
                self.observer(voxel_probabilities(output, zone, projection.size, offset), measured)
            limits = network.limits, network.calibration
            decision = decide(output, zone, *limits, projection.size, self._workers, person_offset=offset)
        labels, confidence = decision.labels, decision.confidence
        if self.follows_ground:
            labels, confidence = unknown_below_ground(labels, confidence, measured)
        if level is not None:
            labels, confidence = level.resampled(labels, confidence)
        clock.lap("head")
        if self._memory is not None and world_from_frame is not None:
            names = encoded.logits[0].argmax(0).flatten().cpu()
            self._update = self._workers.submit(self._memory.add, world_from_frame, measured, projection, names)
        return occupancy_of(
            shifted(labels, tables.layers), shifted(confidence, tables.layers), *encoded.comparing.result()
        )

    def _read_memory(
        self, grid: VoxelGrid, world_from_frame: Matrix | None
    ) -> Callable[[npt.NDArray[np.uint8]], MemoryContent] | None:
        """Return a function that reads earlier pairs at the present pose; None without a pose."""
        self._finish_update()
        if world_from_frame is None:
            return None
        if self._memory is None or self._memory.grid != grid:
            self._memory = SceneMemory(grid)
        self._memory.move(world_from_frame)
        return partial(self._memory.read, world_from_frame)

    def _finish_update(self) -> None:
        """Wait until the previous pair is stored in the memory."""
        update, self._update = self._update, None
        if update is not None:
            update.result()

    @torch.inference_mode()
    def pixel_classes(self, left: ImageArray) -> npt.NDArray[np.uint8]:
        """Return the class ids of the pixels without sky, `[H, W]` uint8, 255 for pixels outside the network's image.

        Args:
            left: `[H, W, 3]` RGB uint8, of the calibrated size.

        Raises:
            ModelError: there is no calibration yet.
        """
        tables = self._calibrated()
        logits, _ = self.network.image_network(self._input(resized(left, tables.fit)))
        cells = logits[0, 1:].argmax(0).float() + 1
        pixels = cells.repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1)
        height, width = tables.fit.content
        classes = tables.fit.restore(pixels[:height, :width]).nan_to_num(UNKNOWN).to(torch.uint8)
        return np.asarray(classes.cpu().numpy())

    def _input(self, left: ImageArray) -> torch.Tensor:
        """Return the input of the image network from the resized left image, `[1, 3, H, W]`."""
        return normalized(self._padded(left).to(self.device))

    def _padded(self, left: ImageArray) -> torch.Tensor:
        """Pad the resized left image with grey to the size of the network's image, `[1, H, W, 3]` uint8."""
        padded = np.full((*self.config.image, 3), 127, np.uint8)
        padded[: left.shape[0], : left.shape[1]] = left
        return torch.from_numpy(padded)[None]
