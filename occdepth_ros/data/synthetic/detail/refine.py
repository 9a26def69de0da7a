"""Small parts for the sample drive: shapes of signs, mirrors, lamp heads, arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from occdepth_ros.data.synthetic.detail.surfaces import extent, sign_kind
from occdepth_ros.data.synthetic.scene.solids import LABEL, Ball, Block, Paint, Part, ball, moved
from occdepth_ros.data.synthetic.scene.things import SKIN


def refined(parts: Sequence[Part]) -> list[Part]:
    """Add small parts and shape signs by their kind; the order and the other geometry are kept."""
    out: list[Part] = []
    added: list[Part] = []
    for part in parts:
        if isinstance(part, Block):
            out.append(_sign(part) if part.paint is Paint.SIGN else part)
            added += moved(_details(part), part.rotation, part.translation)
        else:
            out.append(part)
            added += _arms(part)
    return out + added


def _details(block: Block) -> list[Part]:
    low, high = extent(block)
    length, width, _ = high - low
    if block.paint is Paint.GLASSHOUSE:
        x, z = high[0] - 0.28, low[2] + 0.1
        sides = (low[1] - 0.12, high[1] + 0.12)
        return [
            ball("car", (float(x), float(y), float(z)), (0.07, 0.11, 0.07), block.color, Paint.GLOSS) for y in sides
        ]
    if block.label == LABEL["pole"] and 1.5 < length < 1.7 and width < 0.2:
        center = (float(high[0]), 0.0, float(low[2] + 0.02))
        return [ball("pole", center, (0.4, 0.14, 0.09), (0.5, 0.5, 0.5))]
    return []


def _sign(block: Block) -> Block:
    """Return a disc, a square or a diamond in place of a square plate."""
    low, high = extent(block)
    half = (high[1] - low[1]) / 2
    kind = int(sign_kind(np.array([block.color], np.float32))[0])
    if half > 0.6 or kind == 1:
        return block
    edges = 4 if kind == 2 else 24
    angle = 2 * np.pi * (np.arange(edges) + 0.5) / edges
    normals = np.stack([np.zeros(edges), np.cos(angle), np.sin(angle)], axis=1)
    center = (low + high) / 2
    offsets = normals @ center + half * (0.72 if kind == 2 else 1.0)
    normals = normals @ block.rotation.T
    planes = np.column_stack([normals, offsets + normals @ block.translation])
    return replace(block, planes=np.vstack([block.planes, planes]))


def _arms(part: Ball) -> list[Part]:
    if part.label != LABEL["person"] or part.radii != (0.15, 0.2, 0.36):
        return []
    arms = [ball("person", (0.02, y, -0.03), (0.065, 0.055, 0.33), part.color) for y in (-0.235, 0.235)]
    hands = [ball("person", (0.04, y, -0.37), (0.05, 0.04, 0.07), SKIN) for y in (-0.24, 0.24)]
    return moved([*arms, *hands], part.rotation, part.center)
