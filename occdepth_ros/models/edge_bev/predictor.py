"""The bird's-eye-view architecture behind the engine's contract: two images in, arrays of a prediction out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.calibrations import RecentCalibrations
from occdepth_ros.models.device import pick_device
from occdepth_ros.models.edge.predictor import Precision, pick_precision
from occdepth_ros.models.edge_bev.config import PRESETS
from occdepth_ros.models.edge_bev.evidence import Measurement, StereoEvidence, column_evidence, voxel_evidence
from occdepth_ros.models.edge_bev.image_network import STRIDE, normalized
from occdepth_ros.models.edge_bev.network import EdgeBev, SceneInputs
from occdepth_ros.models.edge_bev.readout import decide, regions
from occdepth_ros.models.edge_bev.tables import BevTables
from occdepth_ros.models.fusion import fold_norms, stored_as
from occdepth_ros.models.images import ImageFit, resized
from occdepth_ros.models.layout import channels_last
from occdepth_ros.models.memory import memory_guard
from occdepth_ros.models.occdepth.readout import VisibilityTable
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.timing import StageClock
from occdepth_ros.models.trained_height import shifted, trained_grid
from occdepth_ros.models.weights import RANDOM, with_weights

SHIPPED: dict[str, str] = {"occdepth-edge-kitti": "occdepth-edge-kitti.safetensors"}
"""Weights file of each name, in `occdepth_ros/weights`."""
FORMER_PREFIX = "picture_net."
"""Parameters of the former architecture begin with it."""


@dataclass(frozen=True)
class _Calibration:
    fit: ImageFit
    evidence: StereoEvidence
    tables: BevTables
    visibility: VisibilityTable
    layers: int


class EdgeBevPredictor:
    """occdepth-edge in the bird's-eye-view architecture, with loaded weights on one device.

    Args:
        name: a key of `SHIPPED`.
        weights: a weights file, "random", or None for those that ship with the package.
        device: "auto" (a CUDA device where there is one), "cpu", "cuda" or "cuda:N".
        precision: number format of the convolutions; "auto" takes bfloat16 where the hardware multiplies it.

    Raises:
        ModelError: the name or the device does not exist, or the device has too little memory.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(
        self, *, name: str, weights: Path | str | None = None, device: str = "auto", precision: Precision = "auto"
    ) -> None:
        if name not in SHIPPED:
            raise ModelError(f"there is no network {name!r}", where="model", remedy=f"Known: {', '.join(SHIPPED)}.")
        self.config = PRESETS[name]
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.name = name if str(weights) != RANDOM else f"{name} (random weights)"
        network = fold_norms(load_network(name, weights).eval()).requires_grad_(False)
        with memory_guard(self.name, self.device):
            self.network = channels_last(stored_as(network.to(self.device), self.dtype))
        self._calibrations: RecentCalibrations[_Calibration] = RecentCalibrations(2)
        self._current: _Calibration | None = None
        # a second core matches while the image network runs, and compares depths while the scene is completed
        self._second_core = ThreadPoolExecutor(1, "matching")

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Compute the tables of a calibration, or take those of an earlier, equal one.

        Raises:
            GridError: the network cannot predict this grid.
            CalibrationError: the images are too small to be matched.
            ModelError: the device has too little memory.
        """
        self.config.check_grid(grid)
        with memory_guard(self.name, self.device):
            self._current = self._calibrations.of(rig, grid, lambda: self._tables(rig, grid))

    def _tables(self, rig: StereoRig, grid: VoxelGrid) -> _Calibration:
        fit = ImageFit.between((rig.left.height, rig.left.width), self.config.image)
        fitted = fit.rig(rig)
        trained, layers = trained_grid(grid)
        tables = BevTables.of_rig(fitted, trained, self.config.image)
        return _Calibration(
            fit,
            StereoEvidence(fitted, trained),
            tables,
            VisibilityTable.of_camera(grid, fitted.left, fitted.left_from_grid).to(self.device),
            layers,
        )

    @torch.inference_mode()
    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size.

        Raises:
            ModelError: the device ran out of memory.
        """
        with memory_guard(self.name, self.device):
            return self._infer(self._calibrated(), left, right)

    @torch.inference_mode()
    def pixel_classes(self, left: ImageArray) -> npt.NDArray[np.uint8]:
        """Class ids of the pixels without sky, `[H, W]` uint8, 255 where the network does not see the pixel.

        Args:
            left: `[H, W, 3]` RGB uint8, of the calibrated size.

        Raises:
            ModelError: there is no calibration yet.
        """
        current = self._calibrated()
        image = torch.from_numpy(self._padded(resized(left, current.fit)))[None].to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits, _ = self.network.image_network(normalized(image))
        cells = logits[0, 1:].argmax(0).float() + 1
        pixels = cells.repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1)
        height, width = current.fit.content
        return current.fit.restore(pixels[:height, :width]).nan_to_num(UNKNOWN).to(torch.uint8).cpu().numpy()

    def _calibrated(self) -> _Calibration:
        if self._current is None:
            raise ModelError(
                "the predictor knows no calibration yet", where=self.name, remedy="Call calibrate(rig, grid) first."
            )
        return self._current

    def _padded(self, image: ImageArray) -> ImageArray:
        """The resized image in the size of the network's, the rest grey."""
        padded = np.full((*self.config.image, 3), 127, np.uint8)
        padded[: image.shape[0], : image.shape[1]] = image
        return padded

    def _infer(self, current: _Calibration, left: ImageArray, right: ImageArray) -> Occupancy:
        network, clock = self.network, StageClock(self.device)
        image = resized(left, current.fit)
        matching = self._second_core.submit(current.evidence.measure, image, resized(right, current.fit))
        padded = self._padded(image)
        clock.lap("preprocess")
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits, features = network.image_network(normalized(torch.from_numpy(padded)[None].to(self.device)))
            clock.lap("image")
            measured = matching.result()
            clock.lap("matching")
            depth = torch.from_numpy(current.evidence.depth(measured))
            comparing = self._second_core.submit(_compared, current, depth)
            scene = scene_inputs(measured, current.tables, self.device)
            clock.lap("evidence")
            output = network.complete(logits, features, [scene])[0]
            clock.lap("completion")
            region = regions(scene.evidence, scene.rows, len(output.occupancy))
            decision = decide(output, region, network.limits, network.calibration, current.tables.size)
        clock.lap("head")
        visibility, restored = comparing.result()
        result = Occupancy(
            shifted(decision.labels, current.layers).cpu().numpy(),
            shifted(decision.confidence, current.layers).cpu().numpy(),
            visibility,
            restored,
        )
        clock.lap("postprocess")
        result.timings_ms = clock.milliseconds()
        return result


@torch.inference_mode()
def _compared(current: _Calibration, depth: torch.Tensor) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Visibility of every voxel, and the depth map in the size of the rig's images."""
    return current.visibility.classify(depth).cpu().numpy(), current.fit.restore(depth).numpy()


def scene_inputs(measured: Measurement, tables: BevTables, device: torch.device | str = "cpu") -> SceneInputs:
    """The network's inputs besides the image.

    Args:
        measured: result of matching.
        tables: of the calibration.
        device: where the inputs shall lie.
    """
    tensors = (
        tables.rows,
        tables.cell,
        voxel_evidence(measured, tables),
        torch.from_numpy(column_evidence(measured, tables)),
        torch.from_numpy(tables.ground_cells(measured.ground).astype(np.int64)),
        torch.from_numpy(measured.ground_seen),
    )
    return SceneInputs(*(tensor.to(device) for tensor in tensors))


def load_network(name: str, weights: Path | str | None) -> EdgeBev:
    """The network on the CPU, in float32, with the weights of a file, those that ship, or seeded random ones.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network; those of the former architecture of
            this name are weights of occdepth-edge.
    """
    with resources.as_file(resources.files("occdepth_ros.weights").joinpath(SHIPPED[name])) as shipped:
        return with_weights(
            lambda: EdgeBev(PRESETS[name]),
            name,
            shipped if weights is None else weights,
            lambda state: ["occdepth-edge"] if any(key.startswith(FORMER_PREFIX) for key in state) else [],
        )
