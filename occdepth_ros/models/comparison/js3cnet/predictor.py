"""JS3C-Net on the points of stereo matching, behind the engine's contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from occdepth_ros.models.comparison.evidence.predictor import SurfacePredictor
from occdepth_ros.models.comparison.evidence.surface import MatchedSurface
from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.models.comparison.js3cnet.network import Js3cNet


class Js3cNetPredictor(SurfacePredictor):
    """JS3C-Net with loaded weights: the row "JS3C-Net, stereo points" of OccDepth's table 1.

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
        name: str = "js3cnet-stereo",
        weights: Path | str | None = None,
        device: str = "auto",
        config: Js3cNetConfig | None = None,
    ) -> None:
        config = config or Js3cNetConfig()
        super().__init__(config, partial(Js3cNet, config), name=name, weights=weights, device=device)

    def logits(self, measured: MatchedSurface) -> torch.Tensor:
        """Class logits of the completion, `[n_classes, X, Y, Z]`."""
        found: torch.Tensor = self.network(measured).completion[0]
        return found
