"""All pictures of one frame: the single panels, and one overview of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.registry import MODELS
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneTruth
from occdepth_ros.visualization.canvas import INK, LINE, MUTED, Picture, blank, text, to_array
from occdepth_ros.visualization.panels import Window, draw_depth, draw_from_above, draw_legend
from occdepth_ros.visualization.voxels import Viewpoint, render_voxels

WIDTH, MARGIN, GAP, CAPTION = 1920, 32, 20, 30
PLAN = 560
"""Side of the square panel from above; the panel from the camera's view beside it takes the rest."""
VIEW = WIDTH - 2 * MARGIN - GAP - PLAN
HALF = (WIDTH - 2 * MARGIN - GAP) // 2


@dataclass(frozen=True)
class FramePictures:
    """The pictures of one frame, RGB `[H, W, 3]` each.

    Args:
        overview: everything on one sheet.
        panels: the single pictures by name: `input`, `depth`, `view`, `above`, `legend`, and with ground truth
            `truth_view`, `truth_above`.
    """

    overview: Picture
    panels: Mapping[str, Picture]


def frame_title(source: str, frame: str) -> str:
    """A title from the name of a source, of a path no more than the last two parts, and of a frame."""
    return f"{'/'.join(Path(source).parts[-2:])}  ·  frame {frame}"


def draw_frame(
    prediction: OccupancyPrediction,
    left: Picture,
    rig: StereoRig,
    *,
    title: str,
    truth: SceneTruth | None = None,
    scores: Mapping[str, float] | None = None,
) -> FramePictures:
    """Draw the result of one stereo pair.

    Args:
        prediction: what was predicted.
        left: the left picture, `[H, W, 3]` RGB.
        rig: the cameras, before the grid's frame.
        title: what the frame is called, see `frame_title`.
        truth: ground truth; drawn in the same views beside the prediction.
        scores: name to value in 0..1, written into the title.
    """
    classes, grid = prediction.classes, prediction.grid
    view = Viewpoint.behind(rig, grid, VIEW, PLAN)
    known = [(prediction.labels != UNKNOWN).any(axis=2), prediction.occupied.any(axis=2)]
    windows = [Window.around(grid, known[1])]
    present = [np.unique(prediction.labels)]
    if truth is not None:
        filled = (truth.labels != UNKNOWN) & (truth.labels != EMPTY)
        windows.append(Window.around(truth.grid, filled.any(axis=2)))
        present.append(np.unique(truth.labels))
    same_plan = truth is None or _plan_of(truth.grid) == _plan_of(grid)
    window = _union(windows, grid) if same_plan else None
    completed = prediction.completed
    panels: dict[str, Picture] = {
        "input": _fit(left, HALF),
        "depth": draw_depth(prediction.depth, HALF),
        "view": render_voxels(prediction.labels, grid, view, classes, completed=completed, rig=rig),
        "above": draw_from_above(
            prediction.labels, grid, rig, classes, PLAN, window=window or windows[0], completed=completed
        ),
    }
    if truth is not None:
        panels["truth_view"] = render_voxels(truth.labels, truth.grid, view, classes, rig=rig)
        panels["truth_above"] = draw_from_above(
            truth.labels, truth.grid, rig, classes, PLAN, window=window or windows[-1]
        )
    panels["legend"] = draw_legend(classes, np.concatenate(present), WIDTH - 2 * MARGIN)
    summary = f": {MODELS[prediction.model].summary}" if prediction.model in MODELS else ""
    subtitle = (
        f"{prediction.model}{summary}  ·  {grid.size[0]}x{grid.size[1]}x{grid.size[2]} voxels of {grid.resolution:g} m"
    )
    return FramePictures(_compose(panels, title, subtitle, truth, scores or {}), panels)


def _plan_of(grid: VoxelGrid) -> tuple[float | int, ...]:
    return (*grid.origin[:2], *grid.size[:2], grid.resolution)


def _union(windows: list[Window], grid: VoxelGrid) -> Window:
    """The square that holds all windows, as far as the grid reaches."""
    mask = np.zeros(grid.size[:2], bool)
    for w in windows:
        mask[w.x[0] : w.x[1], w.y[0] : w.y[1]] = True
    return Window.around(grid, mask)


def _fit(picture: npt.NDArray[np.uint8], width: int) -> Picture:
    height = round(width * picture.shape[0] / picture.shape[1])
    shrink = picture.shape[1] > width
    method = cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=method)  # type: ignore[return-value]


def _compose(
    panels: Mapping[str, Picture],
    title: str,
    subtitle: str,
    truth: SceneTruth | None,
    scores: Mapping[str, float],
) -> Picture:
    rows: list[list[tuple[str, str]]] = [
        [("input", "Left picture of the stereo pair"), ("depth", "Depth")],
        [("view", "Semantic occupancy, behind the camera"), ("above", "From above")],
    ]
    if truth is not None:
        rows.append([("truth_view", f"Ground truth ({truth.name})"), ("truth_above", "Ground truth from above")])
    header = 96
    heights = [max(panels[name].shape[0] for name, _ in row) for row in rows]
    total = header + sum(h + CAPTION + GAP for h in heights) + panels["legend"].shape[0] + MARGIN
    sheet = blank(WIDTH, total)
    draw = ImageDraw.Draw(sheet)
    text(draw, (MARGIN, 22), title, 30, bold=True)
    text(draw, (MARGIN, 62), subtitle, 17, color=MUTED)
    line = "    ".join(f"{name} {100 * value:.1f} %" for name, value in scores.items())
    text(draw, (WIDTH - MARGIN, 24), line, 26, anchor="ra", color=INK)
    y = header
    for row, height in zip(rows, heights, strict=True):
        x = MARGIN
        for name, caption in row:
            panel = panels[name]
            text(draw, (x, y + CAPTION - 8), caption, 18, anchor="ls", color=INK)
            sheet.paste(Image.fromarray(panel), (x, y + CAPTION))
            if name not in ("input", "depth"):
                draw.rectangle([x, y + CAPTION, x + panel.shape[1] - 1, y + CAPTION + panel.shape[0] - 1], outline=LINE)
            x += panel.shape[1] + GAP
        y += CAPTION + height + GAP
    sheet.paste(Image.fromarray(panels["legend"]), (MARGIN, y))
    return to_array(sheet)
