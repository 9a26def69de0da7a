"""Colours, type and small drawing helpers that all images share."""

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
"""Where nothing is known: unknown columns, pixels without depth."""

DUST = 165
"""Grey that what is guessed is drawn under; paler road would be parking in the benchmark's colours."""
KEPT = 0.5
"""How much of its colour a completed voxel keeps."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def dusty(color: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Colours of completed voxels, `[..., 3]`, by those of seen ones."""
    return KEPT * color + (1 - KEPT) * DUST


@functools.cache
def font(size: int) -> Font:
    """Pillow's built-in face, so that images look alike on every machine."""
    return ImageFont.load_default(size)


def blank(width: int, height: int, color: Color = PAGE) -> Image.Image:
    """An empty sheet."""
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
    # the built-in face has one weight
    for shift in (0, 1) if bold else (0,):
        draw.text((at[0] + shift, at[1]), content, color, font(size), anchor)


def text_width(content: str, size: int) -> float:
    """Width of one line, pixels."""
    return float(font(size).getlength(content))


def to_array(image: Image.Image) -> ImageArray:
    """RGB array `[H, W, 3]` of a sheet."""
    return np.array(image.convert("RGB"))
