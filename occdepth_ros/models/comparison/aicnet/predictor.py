"""AICNet on the image and the depth of stereo matching, behind the engine's contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.aicnet.network import AicNet
from occdepth_ros.models.comparison.evidence.predictor import SurfacePredictor


class AicNetPredictor(SurfacePredictor):
    """AICNet with loaded weights: the row "AICNet, RGB and stereo depth" of OccDepth's table 1.

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
        name: str = "aicnet-stereo",
        weights: Path | str | None = None,
        device: str = "auto",
        config: AicNetConfig | None = None,
    ) -> None:
        config = config or AicNetConfig()
        super().__init__(config, partial(AicNet, config), name=name, weights=weights, device=device)
