"""LMSCNet on the occupancy that stereo matching measures, behind the engine's contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.geometry.occupancy import StereoOccupancy
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.device import pick_device
from occdepth_ros.models.layout import channels_last
from occdepth_ros.models.lmscnet.config import LmscNetConfig
from occdepth_ros.models.lmscnet.network import LmscNet
from occdepth_ros.models.occdepth.readout import VisibilityTable, labels_and_confidence
from occdepth_ros.models.timing import StageClock
from occdepth_ros.models.weights import RANDOM, with_weights
from occdepth_ros.predictor import Occupancy, Picture


class LmscNetPredictor:
    """LMSCNet with loaded weights on one device: the row "LMSCNet, occupancy from stereo" of OccDepth's table 1.

    Args:
        name: the name it is registered under.
        weights: a weights file, or "random".
        device: "auto" (a CUDA device where there is one), "cpu", "cuda" or "cuda:N"; matching runs on the CPU.
        config: sizes of the network.

    Raises:
        ModelError: the device does not exist.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(
        self,
        *,
        name: str = "lmscnet-stereo",
        weights: Path | str | None = None,
        device: str = "auto",
        config: LmscNetConfig | None = None,
    ) -> None:
        self.config = config or LmscNetConfig()
        self.device = pick_device(device)
        self.name = name if str(weights) != RANDOM else f"{name} (random weights)"
        network = with_weights(partial(LmscNet, self.config), name, weights).eval().requires_grad_(False)
        self.network = channels_last(network.to(self.device))
        self._stereo: StereoOccupancy | None = None

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Compute the tables of a calibration.

        Raises:
            GridError: the network cannot complete this grid.
            CalibrationError: the pictures are too small to be matched.
        """
        self.config.check_grid(grid)
        self._stereo = StereoOccupancy(rig, grid)
        self._visibility = VisibilityTable.of_camera(grid, rig.left, rig.left_from_grid)

    @torch.inference_mode()
    def infer(self, left: Picture, right: Picture) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size.

        Raises:
            ModelError: it was not calibrated.
        """
        if self._stereo is None:
            raise ModelError(
                "the predictor knows no calibration yet", where=self.name, remedy="Call calibrate(rig, grid) first."
            )
        stereo, clock = self._stereo, StageClock(self.device)
        disparity, depth = stereo.match(stereo.shrunk(left), stereo.shrunk(right))
        clock.lap("matching")
        volume = torch.from_numpy(stereo.occupied(disparity)).to(self.device, torch.float32)[None]
        clock.lap("surface")
        logits = self.network(volume, scales=(1,))[1]
        clock.lap("network")
        labels, confidence = labels_and_confidence(logits[0])
        visibility = self._visibility.classify(torch.from_numpy(depth))
        result = Occupancy(labels.cpu().numpy(), confidence.cpu().numpy(), visibility.numpy(), depth)
        clock.lap("postprocess")
        result.timings_ms = clock.milliseconds()
        return result
