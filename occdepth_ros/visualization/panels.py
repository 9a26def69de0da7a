"""Two-dimensional panels: depth of the left image, the scene from above, and the class legend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN, ClassTable
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.visualization.canvas import (
    INK,
    LINE,
    MUTED,
    NO_DATA,
    PAGE,
    ImageArray,
    blank,
    completed_color,
    text,
    text_width,
    to_array,
)
from occdepth_ros.visualization.voxels import ring_step

NEAREST_M, FARTHEST_M = 2.0, 80.0
FREE_SPACE = (246, 248, 250)


def draw_depth(depth: npt.NDArray[np.float32], width: int) -> ImageArray:
    """Draw depth in a perceptually uniform colour map, near is bright, with a logarithmic metre scale below.

    Args:
        depth: `[H, W]` metres; NaN, infinity and values <= 0 have no colour.
        width: width of the panel, pixels.

    Returns:
        `[height + scale, width, 3]` RGB.
    """
    colored = colored_depth(depth)
    height = round(width * depth.shape[0] / depth.shape[1])
    image = cv2.resize(colored, (width, height), interpolation=cv2.INTER_AREA)
    bar_height, left, right = 34, 10, width - 10
    figure = blank(width, height + bar_height)
    figure.paste(Image.fromarray(image), (0, 0))
    ramp = _colored(_levels(np.linspace(0, 1, right - left)[None, :].repeat(9, axis=0)))
    figure.paste(Image.fromarray(ramp), (left, height + 6))
    draw = ImageDraw.Draw(figure)
    for metres in (2, 3, 5, 10, 20, 40, 80):
        x = left + (right - left) * np.log(metres / NEAREST_M) / np.log(FARTHEST_M / NEAREST_M)
        anchor = "la" if metres == NEAREST_M else "ra" if metres == FARTHEST_M else "ma"
        text(draw, (x, height + 18), f"{metres} m", 13, color=MUTED, anchor=anchor)
    return to_array(figure)


def colored_depth(depth: npt.NDArray[np.float32]) -> ImageArray:
    """Color depth `[H, W]` (metres) on a logarithmic scale from 2 to 80 m, `[H, W, 3]` RGB; grey without depth."""
    valid = np.isfinite(depth) & (depth > 0)
    logarithm = np.asarray(cv2.log(np.where(valid, depth, 1).astype(np.float32, copy=False)))
    nearest, farthest = (np.float32(np.log(end)) for end in (NEAREST_M, FARTHEST_M))
    levels = _levels((logarithm - nearest) / (farthest - nearest))
    return _colored(np.where(valid, levels, np.uint8(0)))


def _levels(position: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return rows of `_color_table` for positions on the scale, `[H, W]`; beyond an end, its row."""
    # without the darkest tenth of the colour map, in which far depths are indistinguishable
    return np.rint(np.clip(255 - 225 * position, 30, 255)).astype(np.uint8)


def _colored(levels: npt.NDArray[np.uint8]) -> ImageArray:
    return np.asarray(cv2.applyColorMap(levels, _color_table()), np.uint8)


@lru_cache(maxsize=1)
def _color_table() -> ImageArray:
    """Return the colours, bright is near, `[256, 1, 3]` RGB; row 0 is that of pixels without depth."""
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[..., ::-1].copy()
    table[0] = NO_DATA
    return np.asarray(table, np.uint8)


@dataclass(frozen=True)
class Window:
    """The part of a grid that is shown from above, voxel indices [low, high) along x and y."""

    x: tuple[int, int]
    y: tuple[int, int]

    @classmethod
    def around(cls, grid: VoxelGrid, *masks: npt.NDArray[np.bool_]) -> Window:
        """Return the smallest, nearly square window with a margin that contains every column marked in `masks`.

        Each mask is `[X, Y]` on `grid`. The side of the sensor (x = 0) is always in the window.
        """
        columns = np.logical_or.reduce(masks)
        nx, ny = columns.shape
        if not columns.any():
            return cls((0, nx), (0, ny))
        margin = max(2, round(1.0 / grid.resolution))
        xs, ys = np.flatnonzero(columns.any(axis=1)), np.flatnonzero(columns.any(axis=0))
        length = min(nx, int(xs[-1]) + 1 + margin)
        low, high = max(0, int(ys[0]) - margin), min(ny, int(ys[-1]) + 1 + margin)
        side = max(length, high - low)
        length = min(nx, side)
        center = (low + high) / 2
        low = int(np.clip(round(center - side / 2), 0, max(0, ny - side)))
        return cls((0, length), (low, min(ny, low + side)))


def draw_from_above(
    labels: npt.NDArray[np.uint8],
    grid: VoxelGrid,
    rig: StereoRig,
    classes: ClassTable,
    size: int,
    *,
    window: Window | None = None,
    completed: npt.NDArray[np.bool_] | None = None,
) -> ImageArray:
    """Draw the scene from above, driving direction up: the highest occupied voxel of each column, shaded by height.

    Free columns are nearly white, unknown columns are grey. Range rings start at the left camera; two lines show the
    limits of its view.

    Args:
        labels: `[X, Y, Z]` class ids; 255 = unknown.
        grid: grid of the labels.
        rig: the cameras.
        classes: class colours.
        size: width and height of the panel, pixels.
        window: the part to show; None = the whole grid.
        completed: `[X, Y, Z]` mask of voxels to draw in greyer colours.

    Returns:
        `[size, size, 3]` RGB.
    """
    window = window or Window((0, grid.size[0]), (0, grid.size[1]))
    plan = _floor_plan(labels, classes, completed)[slice(*window.x), slice(*window.y)]
    # x (forward) points up, y (left) points left
    plan = np.ascontiguousarray(plan[::-1, ::-1])
    scale = size / max(plan.shape[:2])
    whole = int(np.ceil(scale))
    fine = plan.repeat(whole, axis=0).repeat(whole, axis=1)
    width, height = round(plan.shape[1] * scale), round(plan.shape[0] * scale)
    image = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    figure = blank(size, size, NO_DATA)
    left, top = (size - width) // 2, size - height
    figure.paste(Image.fromarray(image), (left, top))
    per_metre = scale / grid.resolution
    x_far = grid.origin[0] + window.x[1] * grid.resolution
    y_far = grid.origin[1] + window.y[1] * grid.resolution

    def pixel(x: float, y: float) -> tuple[float, float]:
        return left + (y_far - y) * per_metre, top + (x_far - x) * per_metre

    _draw_view(figure, rig, pixel, per_metre)
    _draw_metre_scale(figure, per_metre)
    return to_array(figure)


def _floor_plan(
    labels: npt.NDArray[np.uint8], classes: ClassTable, completed: npt.NDArray[np.bool_] | None
) -> ImageArray:
    """Return the colour of each column seen from above, `[X, Y, 3]`."""
    occupied = (labels != EMPTY) & (labels != UNKNOWN)
    nz = labels.shape[2]
    top = nz - 1 - occupied[:, :, ::-1].argmax(axis=2)
    filled = occupied.any(axis=2)
    top = np.where(filled, top, 0)
    at = (*np.indices(top.shape), top)
    color = classes.colors[labels[at]].astype(np.float32)
    if completed is not None:
        is_completed = completed[at]
        color[is_completed] = completed_color(color[is_completed])
    height = cv2.GaussianBlur(top.astype(np.float32), (3, 3), 0)
    slope = np.clip((np.gradient(height, axis=0) + np.gradient(height, axis=1)) * 0.10, -0.3, 0.25)
    shade = 0.78 + 0.22 * top / max(nz - 1, 1) - slope
    plan = color * shade[..., None]
    plan[~filled] = np.where((labels == EMPTY).any(axis=2)[~filled, None], FREE_SPACE, NO_DATA)
    return np.clip(plan, 0, 255).astype(np.uint8)


def _draw_view(figure: Image.Image, rig: StereoRig, pixel: object, per_metre: float) -> None:
    assert callable(pixel)
    overlay = Image.new("RGBA", figure.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(overlay)
    pose = np.linalg.inv(rig.left_from_grid)
    camera = pose[:3, 3]
    cx, cy = pixel(camera[0], camera[1])
    k, width = rig.left.intrinsics, rig.left.width
    bearings = []
    for column in (0, width):
        ray = pose[:3, :3] @ [(column - k[0, 2]) / k[0, 0], 0.0, 1.0]
        bearings.append(float(np.degrees(np.arctan2(-ray[0], -ray[1]))))
        far = camera + 200.0 * ray / np.linalg.norm(ray[:2])
        draw.line([(cx, cy), pixel(far[0], far[1])], fill=(*INK, 150), width=2)
    step = ring_step(figure.width / per_metre)
    rings = [r for r in step * np.arange(1, 20) if r * per_metre < cy + 0.35 * figure.width]
    for radius in rings:
        r = radius * per_metre
        draw.arc([cx - r, cy - r, cx + r, cy + r], min(bearings), max(bearings), fill=(*INK, 120), width=1)
    draw.polygon([(cx, cy - 11), (cx - 7, cy + 5), (cx + 7, cy + 5)], fill=(*INK, 255), outline=(255, 255, 255, 255))
    figure.paste(Image.alpha_composite(figure.convert("RGBA"), overlay).convert("RGB"))
    labels = ImageDraw.Draw(figure)
    for radius in rings:
        at = cy - radius * per_metre
        if at > 12:
            text(labels, (cx, at), f"{radius:g} m", 13, anchor="mm", halo=True)


def _draw_metre_scale(figure: Image.Image, per_metre: float) -> None:
    draw = ImageDraw.Draw(figure)
    metres = next((m for m in (10, 5, 2, 1) if m * per_metre < figure.width / 3), 1)
    x, y = 14, figure.height - 16
    end = x + metres * per_metre
    draw.line([(x, y), (end, y)], fill=INK, width=3)
    for tick in (x, end):
        draw.line([(tick, y - 5), (tick, y + 5)], fill=INK, width=2)
    text(draw, ((x + end) / 2, y - 5), f"{metres} m", 13, anchor="md", halo=True)


def draw_legend(classes: ClassTable, present: npt.NDArray[np.integer], width: int) -> ImageArray:
    """Draw the legend: names and colours of the classes that occur, and of seen, completed, free and unknown space.

    Args:
        classes: names and colours.
        present: the labels that occur in the images.
        width: width of the panel, pixels.

    Returns:
        `[height, width, 3]` RGB.
    """
    shown = [int(i) for i in np.unique(present) if 0 < i < len(classes)]
    sample = classes.rgb[shown[0]] if shown else (100, 150, 245)
    red, green, blue = (round(float(c)) for c in completed_color(np.array(sample, np.float64)))
    entries = [(classes.names[i], classes.rgb[i]) for i in shown]
    states = [("seen", sample), ("completed", (red, green, blue)), ("free", FREE_SPACE), ("unknown", NO_DATA)]
    size, row, swatch, gap, divide = 16, 30, 18, 24, 16
    needed = [swatch + 8 + text_width(name, size) for name, _ in entries + states]
    places: list[tuple[float, int]] = []
    x, y = 0.0, 0
    for i, length in enumerate(needed):
        first_state = i == len(entries)
        x += divide if first_state and x > 0 else 0
        # keep the states on one line
        ahead = sum(needed[i:]) + gap * (len(needed) - i - 1) if first_state else length
        if x > 0 and x + ahead > width:
            x, y = 0.0, y + row
        places.append((x, y))
        x += length + gap
    figure = blank(width, y + row, PAGE)
    draw = ImageDraw.Draw(figure)
    left, top = places[len(entries)]
    if left > 0:
        draw.line([(left - gap, top + 4), (left - gap, top + row - 4)], fill=MUTED, width=1)
    for (name, color), (left, top) in zip(entries + states, places, strict=True):
        box = [left, top + 6, left + swatch, top + 6 + swatch]
        draw.rounded_rectangle(box, 4, fill=color, outline=LINE, width=1)
        text(draw, (left + swatch + 8, top + 6 + swatch / 2), name, size, anchor="lm")
    return to_array(figure)
