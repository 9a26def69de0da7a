"""Comparison of an exported model with its network on real images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from occdepth_ros.exporting.loading import AnyExported
from occdepth_ros.models.edge.predictor import EdgePredictor
from occdepth_ros.models.edge_bev.predictor import EdgeBevPredictor
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor
from occdepth_ros.models.predictor import ImageArray

REQUIRED = 0.999
"""Smallest fraction of voxels with equal labels."""


@dataclass(frozen=True)
class Agreement:
    """Result of a comparison.

    Args:
        labels: fraction of the voxels of all frames with equal labels.
        confidence: fraction of the voxels whose confidences differ by at most one of 255.
        depth: largest difference of the depths, metres; NaN if the model has no depth.
        kinds: number of distinct labels that the network predicted; agreement on a single label is not conclusive.
        network_ms, exported_ms: time of the last frame, milliseconds.
        provider: execution provider of the exported model.
    """

    labels: float
    confidence: float
    depth: float
    kinds: int
    network_ms: float
    exported_ms: float
    provider: str

    @property
    def holds(self) -> bool:
        """Whether the fraction of equal labels reaches `REQUIRED`."""
        return self.labels >= REQUIRED


def compare(
    exported: AnyExported,
    weights: Path | str | None,
    pairs: Sequence[tuple[ImageArray, ImageArray]],
    device: str = "cpu",
) -> Agreement:
    """Compare an exported model with the network on the same pairs, in float32.

    Args:
        exported: the exported model.
        weights: the weights that it was exported from.
        pairs: left and right images, at least one pair.
        device: device on which the network runs.

    Raises:
        OccDepthError: the network or the exported model cannot run.
    """
    about = exported.about
    kind = EdgeBevPredictor if about.is_bev else EdgePredictor if about.is_edge else OccDepthPredictor
    network = kind(name=about.model, weights=weights, device=device, precision="float32")
    network.calibrate(about.rig, about.grid)
    exported.calibrate(about.rig, about.grid)
    labels, confidence, depth = [], [], []
    kinds: set[int] = set()
    times = [0.0, 0.0]
    for left, right in pairs:
        begin = time.perf_counter()
        a = network.infer(left, right)
        between = time.perf_counter()
        b = exported.infer(left, right)
        times = [between - begin, time.perf_counter() - between]
        labels.append(float((a.labels == b.labels).mean()))
        confidence.append(float((np.abs(a.confidence.astype(int) - b.confidence) <= 1).mean()))
        apart = np.abs(a.depth - b.depth)
        depth.append(float(np.nanmax(apart)) if np.isfinite(apart).any() else float("nan"))
        kinds.update(np.unique(a.labels).tolist())
    return Agreement(
        float(np.mean(labels)),
        float(np.mean(confidence)),
        max(depth),
        len(kinds),
        1e3 * times[0],
        1e3 * times[1],
        exported.session.provider,
    )
