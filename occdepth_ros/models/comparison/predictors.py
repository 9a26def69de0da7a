"""Predictors of the comparison networks: semi-global matching, then a network that completes the matched surface."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.aicnet.network import AicNet
from occdepth_ros.models.comparison.config import CompletionConfig
from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.models.comparison.js3cnet.network import Js3cNet
from occdepth_ros.models.comparison.lmscnet.config import LmscNetConfig
from occdepth_ros.models.comparison.lmscnet.network import LmscNet
from occdepth_ros.models.comparison.surface import MatchedSurface
from occdepth_ros.models.loading.weights import with_weights
from occdepth_ros.models.network_predictor import NetworkPredictor, occupancy_of
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.models.readout import VisibilityTable, labels_and_confidence
from occdepth_ros.models.runtime.inference import channels_last
from occdepth_ros.models.runtime.timing import StageClock
from occdepth_ros.stereo.occupancy import StereoOccupancy

Evidence = TypeVar("Evidence")
"""Input of a network, computed from the matches of one pair."""


@dataclass(frozen=True)
class CompletionTables:
    """Tables of one calibration.

    Args:
        stereo: the matcher, with the binning of its points into voxels.
        visibility: projection of the predicted voxels.
    """

    stereo: StereoOccupancy
    visibility: VisibilityTable


class CompletionPredictor(NetworkPredictor[CompletionTables], Generic[Evidence]):
    """A completion network with loaded weights on one device, and the matcher that computes its input.

    Args:
        name: the registered name; None = the configuration's.
        weights: a weights file, or "random".
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N"; matching runs on the CPU.
        config: sizes of the network; None = `default`.

    Raises:
        ModelError: the device does not exist.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    free_space = FreeSpace.MATCHED_DEPTH
    default: ClassVar[CompletionConfig]
    network_class: ClassVar[type[nn.Module]]

    def __init__(
        self,
        *,
        name: str | None = None,
        weights: Path | str | None = None,
        device: str = "auto",
        config: CompletionConfig | None = None,
    ) -> None:
        self.config = config or self.default
        name = name or self.config.name
        super().__init__(name, weights, device)
        network = with_weights(lambda _: self.network_class(self.config), name, weights).eval().requires_grad_(False)
        self.network = channels_last(network.to(self.device))

    @abstractmethod
    def evidence(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> Evidence:
        """Return the network's input, on its device; arguments as for `MatchedSurface.of`."""

    @abstractmethod
    def logits(self, evidence: Evidence) -> torch.Tensor:
        """Return the class logits of every voxel, `[n_classes, X, Y, Z]`."""

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept grids of the trained size and resolution."""
        self.config.check_grid(grid)

    def tables(self, rig: StereoRig, grid: VoxelGrid) -> CompletionTables:
        """Compute the tables of one calibration.

        Raises:
            CalibrationError: the images are too small to be matched.
        """
        visibility = VisibilityTable.of_camera(grid, rig.left, rig.left_from_grid)
        return CompletionTables(StereoOccupancy(rig, grid), visibility)

    def predict(self, tables: CompletionTables, images: tuple[ImageArray, ImageArray], clock: StageClock) -> Occupancy:
        """Predict one pair, see `NetworkPredictor.predict`."""
        stereo = tables.stereo
        left, right = (stereo.resized(image) for image in images)
        disparity, depth = stereo.match(left, right)
        clock.lap("matching")
        evidence = self.evidence(stereo, left, disparity)
        clock.lap("surface")
        logits = self.logits(evidence)
        clock.lap("network")
        surface = torch.from_numpy(depth)
        return occupancy_of(*labels_and_confidence(logits), tables.visibility.classify(surface), surface)


class SurfacePredictor(CompletionPredictor[MatchedSurface]):
    """A network from a `MatchedSurface` to logits `[1, n_classes, X, Y, Z]`; arguments as `CompletionPredictor`."""

    def evidence(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> MatchedSurface:
        """Return the matched surface."""
        return MatchedSurface.of(stereo, left, disparity).to(self.device)

    def logits(self, evidence: MatchedSurface) -> torch.Tensor:
        """Return the class logits, `[n_classes, X, Y, Z]`."""
        logits: torch.Tensor = self.network(evidence)[0]
        return logits


class AicNetPredictor(SurfacePredictor):
    """The row "AICNet, RGB and stereo depth" of OccDepth's table 1; arguments as `CompletionPredictor`."""

    default, network_class = AicNetConfig(), AicNet


class Js3cNetPredictor(SurfacePredictor):
    """The row "JS3C-Net, stereo points" of OccDepth's table 1; arguments as `CompletionPredictor`."""

    default, network_class = Js3cNetConfig(), Js3cNet

    def logits(self, evidence: MatchedSurface) -> torch.Tensor:
        """Return the class logits of the completion, `[n_classes, X, Y, Z]`."""
        logits: torch.Tensor = self.network(evidence).completion[0]
        return logits


class LmscNetPredictor(CompletionPredictor[torch.Tensor]):
    """The row "LMSCNet, occupancy from stereo" of OccDepth's table 1; arguments as `CompletionPredictor`."""

    default, network_class = LmscNetConfig(), LmscNet

    def evidence(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> torch.Tensor:
        """Return the occupancy of the matched surface, `[1, X, Y, Z]` float32."""
        return torch.from_numpy(stereo.occupied(disparity)).to(self.device, torch.float32)[None]

    def logits(self, evidence: torch.Tensor) -> torch.Tensor:
        """Return the class logits, `[n_classes, X, Y, Z]`."""
        logits: torch.Tensor = self.network(evidence, scales=(1,))[1][0]
        return logits
