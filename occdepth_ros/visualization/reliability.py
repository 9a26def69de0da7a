"""Reliability diagrams: accuracy against confidence (DeGroot and Fienberg, 1983)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from occdepth_ros.files import write_whole
from occdepth_ros.visualization.canvas import INK, LINE, MUTED, blank, text

EDGE, MARGIN = 260, 56
"""Edge of a diagram and the space around it, pixels."""
BAR = (86, 134, 190)


def write_reliability(path: Path, calibration: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Write the figure of `draw_reliability` as a PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    buffer = io.BytesIO()
    draw_reliability(calibration, title).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def draw_reliability(calibration: Mapping[str, Mapping[str, Any]], title: str) -> Image.Image:
    """Draw one diagram for each region.

    Args:
        calibration: reports of `occdepth_ros.evaluation.reliability.Reliability` by region.
        title: heading.
    """
    step = EDGE + MARGIN
    figure = blank(MARGIN + step * max(len(calibration), 1), EDGE + 3 * MARGIN)
    draw = ImageDraw.Draw(figure)
    text(draw, (MARGIN, 14), title, 16, bold=True)
    for at, (name, values) in enumerate(calibration.items()):
        left, top = MARGIN + at * step, int(1.5 * MARGIN)
        bottom = top + EDGE
        bins = values["bins"]
        total = max(sum(row[2] for row in bins), 1)
        for confidence, accuracy, voxels in bins:
            x = left + confidence / 100 * EDGE
            half = 4 + 8 * (voxels / total) ** 0.5
            sides = max(x - half, left), min(x + half, left + EDGE)
            draw.rectangle((sides[0], bottom - accuracy / 100 * EDGE, sides[1], bottom), BAR)
        draw.line((left, bottom, left + EDGE, top), INK)
        draw.rectangle((left, top, left + EDGE, bottom), outline=LINE)
        text(draw, (left, top - 22), f"{name.replace('_', ' ')}: error {values['ece']:.1f} %", 14)
        for share in (0, 50, 100):
            text(draw, (left + share / 100 * EDGE, bottom + 6), f"{share}", 12, color=MUTED, anchor="ma")
            if at == 0:
                text(draw, (left - 8, bottom - share / 100 * EDGE), f"{share}", 12, color=MUTED, anchor="rm")
        text(draw, (left + EDGE / 2, bottom + 26), "confidence, %", 12, color=MUTED, anchor="ma")
    text(draw, (MARGIN, EDGE + int(2.5 * MARGIN)), "bars: share of right labels, %; width by voxels", 12, color=MUTED)
    return figure
