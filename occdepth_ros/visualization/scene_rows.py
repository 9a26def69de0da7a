"""Scenes of a data set as rows of a figure: image, depth, classes, and ground truth from above."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN, ClassTable
from occdepth_ros.visualization.canvas import ImageArray

_UNKNOWN, _FREE = (62, 62, 62), (240, 242, 244)
_NEAREST_M = 4.0


def draw_scene_row(
    left: npt.NDArray[np.uint8],
    depth: npt.NDArray[np.float32],
    semantics: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    classes: ClassTable,
    width: int = 460,
) -> ImageArray:
    """Draw one scene.

    Args:
        left: image, `[H, W, 3]` RGB.
        depth: `[H, W]` metres, infinity in the sky.
        semantics: class ids of the image, `[H, W]`.
        labels: ground truth, `[X, Y, Z]` class ids; the direction of travel is drawn to the right.
        classes: colours.
        width: width of each of the first three panels, pixels.

    Returns:
        `[height, 3 * width + height, 3]` RGB.
    """
    height = round(width * left.shape[0] / left.shape[1])
    near = np.clip(255 * _NEAREST_M / np.maximum(depth, _NEAREST_M), 0, 255).astype(np.uint8)
    colors = classes.colors[semantics]
    colors[semantics == EMPTY] = 0
    size = (width, height)
    depth_panel = cv2.cvtColor(cv2.applyColorMap(near, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    panels = [
        cv2.resize(left, size, interpolation=cv2.INTER_AREA),
        cv2.resize(depth_panel, size, interpolation=cv2.INTER_NEAREST),
        cv2.resize(colors, size, interpolation=cv2.INTER_NEAREST),
        cv2.resize(_plan(labels, classes), (height, height), interpolation=cv2.INTER_AREA),
    ]
    return np.asarray(np.hstack(panels), np.uint8)


def _plan(labels: npt.NDArray[np.uint8], classes: ClassTable) -> ImageArray:
    occupied = (labels != EMPTY) & (labels != UNKNOWN)
    top = labels.shape[2] - 1 - occupied[..., ::-1].argmax(axis=2)
    highest = np.take_along_axis(labels, top[..., None], axis=2)[..., 0]
    free = (labels == EMPTY).any(axis=2)
    out = np.where(free[..., None], _FREE, _UNKNOWN).astype(np.uint8)
    filled = occupied.any(axis=2)
    out[filled] = classes.colors[highest[filled]]
    # x to the right, y to the top
    return np.ascontiguousarray(out.transpose(1, 0, 2)[::-1])
