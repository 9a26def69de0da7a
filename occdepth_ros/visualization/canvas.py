"""Colours, fonts and drawing helpers of all figures."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

ImageArray = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

PAGE: Color = (255, 255, 255)
INK: Color = (24, 32, 44)
MUTED: Color = (104, 116, 130)
LINE: Color = (205, 211, 218)
NO_DATA: Color = (226, 230, 235)
"""Colour of unknown columns and of pixels without depth."""

COMPLETED_GREY = 165
"""Grey that is blended into completed voxels; a lighter road would resemble parking in the benchmark's colours."""
COMPLETED_WEIGHT = 0.5
"""Weight of the class colour of a completed voxel."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def completed_color(color: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the colours of completed voxels, `[..., 3]`, from those of seen voxels."""
    return COMPLETED_WEIGHT * color + (1 - COMPLETED_WEIGHT) * COMPLETED_GREY


@functools.cache
def font(size: int) -> Font:
    """Return Pillow's built-in font, so that figures are equal on every machine."""
    return ImageFont.load_default(size)


def blank(width: int, height: int, color: Color = PAGE) -> Image.Image:
    """Return an empty figure."""
    return Image.new("RGB", (width, height), color)


def text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    content: str,
    size: int,
    *,
    color: Color = INK,
    anchor: str = "la",
    halo: bool = False,
    bold: bool = False,
) -> None:
    """Write one line; `halo` puts a white rim around it, for text on an image."""
    if halo:
        draw.text(at, content, color, font(size), anchor, stroke_width=max(2, size // 8), stroke_fill=PAGE)
    # the built-in font has one weight
    for shift in (0, 1) if bold else (0,):
        draw.text((at[0] + shift, at[1]), content, color, font(size), anchor)


def text_width(content: str, size: int) -> float:
    """Return the width of one line, pixels."""
    return float(font(size).getlength(content))


def to_array(image: Image.Image) -> ImageArray:
    """Return the RGB array `[H, W, 3]` of a figure."""
    return np.array(image.convert("RGB"))
