"""Predictor of OccDepth and MonoScene in all their configurations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.loading.weights import with_weights
from occdepth_ros.models.network_predictor import NetworkPredictor, occupancy_of
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.oad import expected_depth
from occdepth_ros.models.occdepth.optimized.network import OptimizedOccDepth, Precision, compiled
from occdepth_ros.models.occdepth.optimized.tables import OptimizedTables
from occdepth_ros.models.occdepth.recognition import recognise
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.readout import VisibilityTable, labels_and_confidence
from occdepth_ros.models.runtime.memory import keep_freed_memory, memory_guard
from occdepth_ros.models.runtime.timing import StageClock


@dataclass(frozen=True)
class OccDepthTables:
    """Tables of one calibration.

    Args:
        fit: transform from the rig's image to the network's image.
        lifting: projection and sampling of the lifted voxels.
        visibility: projection of the predicted voxels.
    """

    fit: ImageFit
    lifting: OptimizedTables
    visibility: VisibilityTable


class OccDepthPredictor(NetworkPredictor[OccDepthTables]):
    """OccDepth with loaded weights on one device, on the inference path (`models/occdepth/optimized`).

    Args:
        name: a preset of `occdepth_ros.models.occdepth.config.PRESETS`.
        weights: a weights file, or "random".
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".
        precision: number formats. "float32" preserves the labels; "mixed" computes the finest 2-D maps, the 3-D network
            and the head, which take most of the time, in bfloat16; "bfloat16" computes all parts in bfloat16.
            benchmarks/README.md lists the share of equal labels; it depends on the weights.
        compile: compile the networks by torch.compile with CUDA graphs; CUDA devices only.

    Raises:
        ModelError: the name or the device does not exist, or the device has too little memory.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(
        self,
        *,
        name: str,
        weights: Path | str | None = None,
        device: str = "auto",
        precision: Precision = "float32",
        compile: bool = False,
    ) -> None:
        super().__init__(name, weights, device, PRESETS)
        self.config = PRESETS[name]
        self.precision: Precision = precision
        if compile and self.device.type != "cuda":
            raise ModelError(
                f"compile is for CUDA devices, not for {self.device}", where="compile", remedy="Leave it out."
            )
        network = load_network(name, weights).eval().requires_grad_(False)
        keep_freed_memory(self.device)
        with memory_guard(self.name, self.device):
            self.network = OptimizedOccDepth(network, precision, self.device).to(self.device)
        self._compiled = compile
        if compile:
            compiled(self.network)

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept grids of the trained size and resolution."""
        self.config.check_grid(grid)

    def tables(self, rig: StereoRig, grid: VoxelGrid) -> OccDepthTables:
        """Compute the tables of one calibration."""
        fit = ImageFit.between((rig.left.height, rig.left.width), self.config.image)
        network_rig = fit.rig(rig)
        return OccDepthTables(
            fit,
            self.network.tables(SceneGeometry.of_rig(self.config, network_rig, grid)).to(self.device),
            VisibilityTable.of_camera(grid, network_rig.left, network_rig.left_from_grid).to(self.device),
        )

    def predict(self, tables: OccDepthTables, images: tuple[ImageArray, ImageArray], clock: StageClock) -> Occupancy:
        """Predict one pair, see `NetworkPredictor.predict`."""
        network, lifting = self.network, tables.lifting
        if self._compiled:
            # from here on the outputs of the graphs of the last pair may be overwritten
            torch.compiler.cudagraph_mark_step_begin()
        uploaded = torch.from_numpy(np.stack(images[: self.config.views])).to(self.device)
        prepared = network.prepared(tables.fit.apply(uploaded))
        clock.lap("preprocess")
        coarse = network.encoder(prepared)
        clock.lap("encoder")
        maps, rows = network.features(coarse, lifting)
        del coarse
        clock.lap("decoder2d")
        lifted = network.lift(maps, rows, lifting)
        clock.lap("sfa")
        depth = network.depth(maps, lifting)
        volume = network.weigh(lifted, depth, lifting)
        del maps, rows, lifted
        clock.lap("oad")
        volume = network.unet.volume(volume)
        clock.lap("net3d")
        logits = network.unet.head(volume)
        del volume
        clock.lap("head")
        pixels = expected_depth(depth, self.config)
        return occupancy_of(
            *labels_and_confidence(logits[0]), tables.visibility.classify(pixels), tables.fit.restore(pixels)
        )


def load_network(name: str, weights: Path | str | None) -> OccDepth:
    """Return the network of a preset on the CPU, with the weights of a file or, for "random", seeded random ones.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    return with_weights(lambda _: OccDepth(PRESETS[name]), name, weights, recognise=recognise)
