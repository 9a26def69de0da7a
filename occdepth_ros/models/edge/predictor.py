"""Predictor of the model occdepth-edge-sfa."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.config import PRESETS
from occdepth_ros.models.edge.depth import SCALE, combined_depth, voxel_depth
from occdepth_ros.models.edge.evidence import Measurement, StereoEvidence, evidence
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.edge.network import OccDepthEdge
from occdepth_ros.models.edge.readout import decide, thresholds
from occdepth_ros.models.images import ImageFit, resized
from occdepth_ros.models.loading.weights import with_weights
from occdepth_ros.models.network_predictor import NetworkPredictor
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.models.runtime.device import Precision, pick_precision
from occdepth_ros.models.runtime.inference import channels_last, fold_norms, stored_as
from occdepth_ros.models.runtime.memory import memory_guard
from occdepth_ros.models.runtime.timing import StageClock
from occdepth_ros.models.trained_height import shifted, trained_grid


@dataclass(frozen=True)
class EdgeTables:
    """Tables of one calibration.

    Args:
        fit: transform from the rig's image to the network's image.
        evidence: the matcher.
        geometry: projection of the voxels of the trained grid.
        layers: height of the predicted grid above the trained grid, layers.
    """

    fit: ImageFit
    evidence: StereoEvidence
    geometry: EdgeGeometry
    layers: int


class EdgePredictor(NetworkPredictor[EdgeTables]):
    """occdepth-edge-sfa with loaded weights on one device.

    Args:
        name: a key of `SHIPPED`.
        weights: weights file, "random", or None for the shipped weights.
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N"; matching runs on the CPU.
        precision: number format of the convolutions; "auto" selects bfloat16 if the hardware multiplies it.

    Raises:
        ModelError: the name or the device does not exist, or the device has too little memory.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    free_space = FreeSpace.SUPPORTED

    def __init__(
        self, *, name: str, weights: Path | str | None = None, device: str = "auto", precision: Precision = "auto"
    ) -> None:
        super().__init__(name, weights, device, SHIPPED)
        self.config = PRESETS[name]
        self.dtype = pick_precision(precision, self.device)
        network = fold_norms(load_network(name, weights).eval()).requires_grad_(False)
        with memory_guard(self.name, self.device):
            self.network = channels_last(stored_as(network.to(self.device), self.dtype))

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept grids of the trained resolution, see `EdgeConfig.check_grid`."""
        self.config.check_grid(grid)

    def tables(self, rig: StereoRig, grid: VoxelGrid) -> EdgeTables:
        """Compute the tables of one calibration.

        Raises:
            CalibrationError: the images are too small to be matched.
        """
        fit = ImageFit.between((rig.left.height, rig.left.width), self.config.image)
        network_rig = fit.rig(rig)
        trained, layers = trained_grid(grid)
        return EdgeTables(
            fit,
            StereoEvidence(rig, trained, fit),
            EdgeGeometry.of_rig(self.config, network_rig, trained, self.device),
            layers,
        )

    def predict(self, tables: EdgeTables, images: tuple[ImageArray, ImageArray], clock: StageClock) -> Occupancy:
        """Predict one pair, see `NetworkPredictor.predict`."""
        network, geometry = self.network, tables.geometry
        measurement, observation = tables.evidence.observe(*images)
        stereo = measurement.to(self.device)
        clock.lap("matching")
        left, right = (resized(image, tables.fit) for image in images)
        normalized = network.picture_net.normalized(torch.from_numpy(np.stack([left, right])).to(self.device))
        clock.lap("preprocess")
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            pyramid, features = network.picture_net(normalized)
            clock.lap("images")
            distribution = network.depth_net(pyramid[SCALE][:1], stereo, geometry)
            voxel_evidence = torch.cat([evidence(stereo, geometry), voxel_depth(distribution, geometry)], 1)
            clock.lap("oad")
            lifted = network.lift(features, geometry)
            clock.lap("sfa")
            volume = network.complete(lifted, voxel_evidence)
            clock.lap("net3d")
            occupied = network.occupancy(volume, voxel_evidence)[0].float().sigmoid().flatten(1)  # [8, N]
            threshold = thresholds(voxel_evidence, geometry.visible[0], self.config.thresholds)
            decided = decide(network.head, volume, lifted, occupied, threshold)
        clock.lap("head")
        depth = self._depth(distribution, stereo, geometry)
        predicted = (shifted(volume, tables.layers).cpu().numpy() for volume in (decided.labels, decided.confidence))
        supported = observation.shifted(tables.layers).applied(*predicted)
        return Occupancy(*supported, tables.fit.restore(depth).cpu().numpy())

    def _depth(self, distribution: torch.Tensor, stereo: Measurement, geometry: EdgeGeometry) -> torch.Tensor:
        """Return the depth of the network's left image, `[h, w]`, metres, see `combined_depth`."""
        return combined_depth(distribution, self.network.depth_net.bin_edges, stereo.disparity, geometry.focal_baseline)


SHIPPED: dict[str, str] = {"occdepth-edge-sfa": "occdepth-edge-sfa.safetensors"}
"""Weights file of each name, in `occdepth_ros/weights`."""
BEV_PREFIX = "image_network."
"""Prefix of the parameter names of the architecture that is now named occdepth-edge."""


def load_network(name: str, weights: Path | str | None) -> OccDepthEdge:
    """Return the network on the CPU, in float32, with weights from a file, the shipped weights, or seeded random ones.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    return with_weights(
        lambda _: OccDepthEdge(PRESETS[name]),
        name,
        weights,
        shipped=SHIPPED[name],
        recognise=lambda state: ["occdepth-edge"] if any(key.startswith(BEV_PREFIX) for key in state) else [],
    )
