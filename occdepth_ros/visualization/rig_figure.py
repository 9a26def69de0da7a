"""Figure of a checked rig: matched features with their row offsets, and the ground, measured and stated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.base import StereoFrame
from occdepth_ros.stereo.ground.pose import GroundPose, expected_ground
from occdepth_ros.stereo.rig_assessment.assessment import PairMatches
from occdepth_ros.visualization.canvas import Color, blank, text

MAX_WIDTH = 1280
"""Width of the figure, pixels."""
LINES = 60
"""Number of matches drawn across both images."""
GREEN, ORANGE, RED = (0, 150, 60), (230, 140, 0), (215, 30, 40)
OFFSETS = ((0.5, GREEN), (1.5, ORANGE), (np.inf, RED))
"""Colours by the absolute row offset, pixels."""
MAGNIFIED = 10
"""Magnification of the drawn row offsets."""
AHEAD, ACROSS = (2.0, 30.0), 8.0
"""Range of the drawn ground, metres."""
_TITLE = 26


def rig_figure(
    frame: StereoFrame,
    matches: PairMatches | None,
    rig: StereoRig,
    grid: VoxelGrid,
    measured: GroundPose | None,
    *,
    is_base: bool,
) -> Image.Image:
    """Draw one pair.

    Args:
        frame: the pair.
        matches: matches of this pair.
        rig: the stated calibration and pose.
        grid: the voxels, for the expected height of the ground.
        measured: the measured ground.
        is_base: as in `expected_ground`.
    """
    height, width = frame.left.shape[:2]
    half = min(MAX_WIDTH // 2, width)
    rows = round(height * half / width)
    full = min(MAX_WIDTH, width)
    full_rows = round(height * full / width)
    page = blank(max(2 * half, full), 2 * _TITLE + rows + full_rows)
    draw = ImageDraw.Draw(page)
    text(draw, (6, 5), f"matched features, row offset x{MAGNIFIED}: green < 0.5 px, orange < 1.5 px, red above", 15)
    for index, image in enumerate((frame.left, frame.right)):
        page.paste(Image.fromarray(image).resize((half, rows)), (index * half, _TITLE))
    if matches is not None and len(matches.left):
        _draw_matches(draw, matches, half / width, half)
    top = _TITLE + rows
    text(draw, (6, top + 5), "ground 2 to 30 m ahead: measured green, stated red", 15)
    ground = Image.fromarray(frame.left).resize((full, full_rows))
    _draw_ground(ground, rig, grid, measured, full / width, is_base=is_base)
    page.paste(ground, (0, top + _TITLE))
    return page


def _draw_matches(draw: ImageDraw.ImageDraw, matches: PairMatches, scale: float, half: int) -> None:
    offset = matches.left[:, 1] - matches.right[:, 1]
    for k in range(len(offset)):
        color = next(color for limit, color in OFFSETS if abs(offset[k]) < limit)
        x, y = matches.left[k] * scale + (0, _TITLE)
        draw.line([(x, y), (x, y - MAGNIFIED * offset[k] * scale)], color, 2)
        draw.ellipse([x - 1, y - 1, x + 1, y + 1], color)
    for k in np.unique(np.linspace(0, len(offset) - 1, LINES).round().astype(int)):
        color = next(color for limit, color in OFFSETS if abs(offset[k]) < limit)
        x, y = matches.left[k] * scale + (0, _TITLE)
        u, v = matches.right[k] * scale + (half, _TITLE)
        draw.line([(x, y), (u, v)], color, 1)


def _draw_ground(
    image: Image.Image, rig: StereoRig, grid: VoxelGrid, measured: GroundPose | None, scale: float, *, is_base: bool
) -> None:
    draw = ImageDraw.Draw(image)
    stated_up = rig.left_from_grid[:3, 2]
    camera_z = float(np.linalg.inv(rig.left_from_grid)[2, 3])
    _draw_plane(draw, rig, stated_up, camera_z - expected_ground(grid, is_base)[1], scale, RED, 1)
    if measured is not None:
        _draw_plane(draw, rig, measured.up, measured.pose.height, scale, GREEN, 2)


def _draw_plane(
    draw: ImageDraw.ImageDraw, rig: StereoRig, up: Matrix, height: float, scale: float, color: Color, width: int
) -> None:
    """Draw lines on a plane below the left camera.

    Args:
        draw: drawing context of the left image.
        rig: the cameras.
        up: unit normal in the left optical frame, `[3]`.
        height: height of the camera above the plane, metres.
        scale: scale of the image.
        color, width: colour and width of the lines.
    """
    forward = np.array([0.0, 0, 1]) - up[2] * up
    forward /= max(float(np.linalg.norm(forward)), 1e-9)
    left = np.cross(up, forward)

    def line(points: npt.NDArray[np.float64]) -> None:
        ahead = points[:, 2] > 0.1
        image = points[ahead] @ rig.left.intrinsics.T
        pixels = image[:, :2] / image[:, 2:] * scale
        draw.line([(float(x), float(y)) for x, y in pixels], color, width)

    along = np.linspace(*AHEAD, 60)[:, None]
    across = np.linspace(-ACROSS, ACROSS, 30)[:, None]
    foot = -height * up
    for lateral in np.arange(-ACROSS, ACROSS + 1, 2):
        line(foot + along * forward + lateral * left)
    for distance in (2, 4, 6, 8, 10, 15, 20, 30):
        line(foot + distance * forward + across * left)
