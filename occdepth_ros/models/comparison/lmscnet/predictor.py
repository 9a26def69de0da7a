"""LMSCNet on the occupancy that stereo matching measures, behind the engine's contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.models.comparison.evidence.predictor import CompletionPredictor
from occdepth_ros.models.comparison.lmscnet.config import LmscNetConfig
from occdepth_ros.models.comparison.lmscnet.network import LmscNet
from occdepth_ros.models.predictor import ImageArray
from occdepth_ros.stereo.occupancy import StereoOccupancy


class LmscNetPredictor(CompletionPredictor[torch.Tensor]):
    """LMSCNet with loaded weights: the row "LMSCNet, occupancy from stereo" of OccDepth's table 1.

    Args:
        name: the name it is registered under.
        weights: a weights file, or "random".
        device: see `CompletionPredictor`.
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
        config = config or LmscNetConfig()
        super().__init__(config, partial(LmscNet, config), name=name, weights=weights, device=device)

    def measured(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> torch.Tensor:
        """Occupancy, `[1, X, Y, Z]` float32."""
        return torch.from_numpy(stereo.occupied(disparity)).to(self.device, torch.float32)[None]

    def logits(self, measured: torch.Tensor) -> torch.Tensor:
        """Class logits, `[n_classes, X, Y, Z]`."""
        found: torch.Tensor = self.network(measured, scales=(1,))[1][0]
        return found
