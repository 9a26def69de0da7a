"""One frame of a video along a sequence: left image, predicted voxels, and ground truth below them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import UNKNOWN, ClassTable
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneGroundTruth
from occdepth_ros.visualization.canvas import INK, LINE, MUTED, NO_DATA, ImageArray, blank, text, text_width, to_array
from occdepth_ros.visualization.panels import draw_from_above
from occdepth_ros.visualization.voxels import Viewpoint, render_voxels

WIDTH, MARGIN, GAP, CAPTION = 1280, 16, 12, 26
"""Width of the frame, margin, gap between panels, and height of a caption, pixels."""
PLAN = 360
"""Edge of the square panel from above, pixels."""
VIEW = WIDTH - 2 * MARGIN - GAP - PLAN
"""Width of the panel from behind the vehicle, pixels."""
IMAGE = 760
"""Width of the left image, pixels; the legend takes the remaining width of its row."""


@dataclass(frozen=True)
class VideoFrame:
    """The layout of all frames of a video, fixed so that panels do not move between frames.

    Args:
        rig: the cameras.
        classes: class names and colours.
        title: title of the video.
        ground_truth: whether there is a row for ground truth.
    """

    rig: StereoRig
    classes: ClassTable
    title: str
    ground_truth: bool = False

    def draw(
        self,
        left: ImageArray,
        prediction: OccupancyPrediction,
        ground_truth: SceneGroundTruth | None = None,
        *,
        ground_truth_frame: str = "",
        caption: str = "",
    ) -> ImageArray:
        """Draw one frame.

        Args:
            left: the left image, `[H, W, 3]` RGB.
            prediction: the prediction.
            ground_truth: ground truth; None leaves a note in its row.
            ground_truth_frame: name of the frame of the ground truth, if it is an earlier one.
            caption: text about this frame, such as its name and scores.

        Returns:
            `[height, width, 3]` RGB with even sides, of equal size for all frames.
        """
        height = round(IMAGE * self.rig.left.height / self.rig.left.width)
        rows = 2 if self.ground_truth else 1
        total = 2 * MARGIN + 2 * CAPTION + height + rows * (CAPTION + PLAN + GAP)
        figure = blank(WIDTH, total + total % 2)
        draw = ImageDraw.Draw(figure)
        text(draw, (MARGIN, MARGIN), self.title, 20, bold=True)
        text(draw, (WIDTH - MARGIN, MARGIN + 2), caption, 18, anchor="ra", color=MUTED)
        y = MARGIN + 2 * CAPTION - 14
        image = cv2.resize(left, (IMAGE, height), interpolation=cv2.INTER_AREA)
        figure.paste(Image.fromarray(np.asarray(image, np.uint8)), (MARGIN, y))
        self._draw_legend(draw, MARGIN + IMAGE + 2 * GAP, y, height)
        y += height + GAP
        completed = prediction.completed
        name = f"{prediction.model}{'  ·  greyer: completed, not seen' if completed.any() else ''}"
        self._draw_row(figure, y, name, prediction.labels, prediction.grid, completed)
        if self.ground_truth:
            y += CAPTION + PLAN + GAP
            if ground_truth is None:
                text(draw, (MARGIN, y + CAPTION - 8), "Ground truth: none yet", 16, anchor="ls", color=MUTED)
                for x, width in ((MARGIN, VIEW), (MARGIN + VIEW + GAP, PLAN)):
                    box = [x, y + CAPTION, x + width - 1, y + CAPTION + PLAN - 1]
                    draw.rectangle(box, fill=NO_DATA, outline=LINE)
            else:
                frame = f" of frame {ground_truth_frame}" if ground_truth_frame else ""
                name = f"Ground truth ({ground_truth.name}){frame}"
                self._draw_row(figure, y, name, ground_truth.labels, ground_truth.grid)
        return to_array(figure)

    def _draw_row(
        self,
        figure: Image.Image,
        y: int,
        name: str,
        labels: npt.NDArray[np.uint8],
        grid: VoxelGrid,
        completed: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        draw = ImageDraw.Draw(figure)
        text(draw, (MARGIN, y + CAPTION - 8), name, 16, anchor="ls", color=INK)
        view = Viewpoint.behind(self.rig, grid, VIEW, PLAN)
        panels = (
            (MARGIN, render_voxels(labels, grid, view, self.classes, completed=completed, rig=self.rig)),
            (
                MARGIN + VIEW + GAP,
                draw_from_above(labels, grid, self.rig, self.classes, PLAN, completed=completed),
            ),
        )
        for x, panel in panels:
            figure.paste(Image.fromarray(panel), (x, y + CAPTION))
            box = [x, y + CAPTION, x + panel.shape[1] - 1, y + CAPTION + PLAN - 1]
            draw.rectangle(box, outline=LINE)

    def _draw_legend(self, draw: ImageDraw.ImageDraw, x: int, y: int, height: int) -> None:
        """Draw all classes, including absent ones, in columns that fit next to the image."""
        names = [(name, self.classes.rgb[i]) for i, name in enumerate(self.classes.names) if i not in (0, UNKNOWN)]
        size, step = 14, 22
        rows = max(1, height // step)
        while -(-len(names) // rows) > 3:
            rows += 1
        step = min(step, height // rows)
        for start in range(0, len(names), rows):
            column = names[start : start + rows]
            for row, (name, color) in enumerate(column):
                top = y + row * step
                draw.rounded_rectangle([x, top + 2, x + 14, top + 16], 3, fill=color, outline=LINE)
                text(draw, (x + 20, top + 9), name, size, anchor="lm")
            x += 20 + round(max(text_width(name, size) for name, _ in column)) + 18
