"""One frame of a video with few elements: the left image, and below it the voxels from a viewpoint that moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from occdepth_ros.camera import StereoRig
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.visualization.canvas import PAGE, ImageArray, blank, to_array
from occdepth_ros.visualization.panels import draw_legend
from occdepth_ros.visualization.voxels import Viewpoint, render_voxels

WIDTH, GAP, MARGIN = 720, 6, 8
VIEW = 380
"""Height of the voxels, pixels."""
MIN_VOXELS = 40
"""Minimum number of voxels of a class in the first frame for an entry in the legend."""


@dataclass
class OrbitFrame:
    """The layout of all frames of a video; the first prediction determines the classes in the legend.

    Args:
        rig: the cameras.
    """

    rig: StereoRig
    _legend: ImageArray | None = field(default=None, init=False)

    def draw(self, left: ImageArray, prediction: OccupancyPrediction, phase: float) -> ImageArray:
        """Draw one frame.

        Args:
            left: the left image, `[H, W, 3]` RGB.
            prediction: the prediction.
            phase: position of the viewpoint on its curve, 0..1; see `Viewpoint.around`.

        Returns:
            `[height, 720, 3]` RGB with even sides, of equal size for all frames.
        """
        if self._legend is None:
            self._legend = draw_legend(prediction.classes, _frequent(prediction), WIDTH - 2 * MARGIN)
        height = round(WIDTH * left.shape[0] / left.shape[1])
        image = cv2.resize(left, (WIDTH, height), interpolation=cv2.INTER_AREA)
        view = Viewpoint.around(self.rig, prediction.grid, WIDTH, VIEW, phase)
        voxels = render_voxels(
            prediction.labels,
            prediction.grid,
            view,
            prediction.classes,
            completed=prediction.completed,
            rig=self.rig,
        )
        total = height + GAP + VIEW + GAP + self._legend.shape[0]
        figure = blank(WIDTH, total + total % 2, PAGE)
        figure.paste(Image.fromarray(np.asarray(image, np.uint8)), (0, 0))
        figure.paste(Image.fromarray(voxels), (0, height + GAP))
        figure.paste(Image.fromarray(self._legend), (MARGIN, height + GAP + VIEW + GAP))
        return to_array(figure)


def _frequent(prediction: OccupancyPrediction) -> npt.NDArray[np.integer]:
    """Return the labels of at least `MIN_VOXELS` voxels."""
    return np.flatnonzero(np.bincount(prediction.labels.ravel(), minlength=256) >= MIN_VOXELS)
