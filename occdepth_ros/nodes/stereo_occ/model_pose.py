"""The pose of each pair in the fixed frame, for models that use earlier pairs."""

from __future__ import annotations

from collections.abc import Callable

from occdepth_ros.nodes.stereo_occ.extrinsics import Extrinsics
from occdepth_ros.nodes.stereo_occ.model_host import ModelHost
from occdepth_ros.nodes.stereo_occ.parameters import Settings

TIMEOUT_S = 0.05
"""Longest wait for the pose of a pair, seconds."""
MISSING_LIMIT = 10
"""Number of consecutive pairs without a pose after which this is logged."""


class ModelPose:
    """Passes the pose of each pair to a stateful model, and logs once if TF has none.

    Args:
        host: the model.
        extrinsics: looks up the poses.
        info: logs a text.
    """

    def __init__(self, host: ModelHost, extrinsics: Extrinsics, info: Callable[[str], None]) -> None:
        self._host = host
        self._extrinsics = extrinsics
        self._info = info
        self._missing = 0
        self._is_logged = False

    def set(self, stamp_ns: int, settings: Settings) -> None:
        """Set the pose at the time of a pair; nothing happens for a model without state."""
        if not self._host.stateful:
            return
        pose = self._extrinsics.world_from_grid(stamp_ns, TIMEOUT_S)
        self._host.place(pose)
        self._missing = self._missing + 1 if pose is None else 0
        if self._missing == MISSING_LIMIT and not self._is_logged:
            self._is_logged = True
            self._info(
                f"TF has no pose of {settings.grid_frame!r} in {settings.fixed_frame!r} at the times of the images: "
                f"{self._host.name} predicts every pair on its own. With this transform it also uses earlier pairs."
            )
