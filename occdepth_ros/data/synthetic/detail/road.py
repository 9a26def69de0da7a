"""Detailed colours of the ground for the sample drive: asphalt with markings, pavement, lawns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.data.synthetic.detail.surfaces import Array, Mask, blend, stripe
from occdepth_ros.data.synthetic.rendering.texture import scatter, smooth_noise
from occdepth_ros.data.synthetic.scene.layout import Scene
from occdepth_ros.data.synthetic.scene.solids import LABEL

Labels = npt.NDArray[np.uint8]
ASPHALT, SLABS, LAWN, GRAVEL = (0.15, 0.148, 0.146), (0.36, 0.345, 0.325), (0.1, 0.15, 0.042), (0.26, 0.25, 0.23)
PAINT = (0.7, 0.7, 0.68)
ZEBRA = 4.0
"""Length of a pedestrian crossing along the street, metres."""


def ground_colors(scene: Scene, points: Array, footprint: Array) -> Array:
    """Return linear RGB albedo, `[N, 3]`, of ground points `[3, N]`; `footprint`, `[N]`, is the width of a pixel."""
    x, y = points[0], points[1]
    across = scene.ground.across(x, y)
    label = scene.ground.label(x, y)
    fine, middle, broad = (smooth_noise(x, y, texel, footprint) for texel in (0.008, 0.05, 0.4))
    color = np.tile(np.array(ASPHALT, np.float32), (x.size, 1))
    color *= np.clip(1 + 0.17 * fine + 0.06 * middle + 0.07 * broad, 0.4, 2)[:, None]
    asphalt = (label == LABEL["road"]) | (label == LABEL["parking"])
    crack = asphalt * stripe(np.abs(smooth_noise(x + 40, y, 0.06, footprint)) * 0.2, 0.004, footprint) * (broad > 0.2)
    blend(color, 0.4 * crack, (0.05, 0.05, 0.05))
    _slabs(x, across, footprint, fine, middle, label == LABEL["sidewalk"], color)
    lawn = label == LABEL["terrain"]
    blades = smooth_noise(1.7 * x, y, 0.012, footprint)
    green = np.array(LAWN, np.float32) * np.clip(1 + 0.28 * blades + 0.18 * middle + 0.2 * broad, 0.35, 2)[:, None]
    green *= 1 + np.array([0.2, 0.05, 0.0], np.float32) * np.clip(broad, -1, 1.5)[:, None]
    blend(color, lawn, green)
    gravel = np.array(GRAVEL, np.float32) * np.clip(1 + 0.25 * fine + 0.1 * middle, 0.4, 2)[:, None]
    blend(color, label == LABEL["other-ground"], gravel)
    _tracks(scene, x, across, label == LABEL["road"], color)
    _kerbs(scene, x, across, label, footprint, color)
    _markings(scene, x, across, label, footprint, middle, color)
    return color


def _slabs(x: Array, across: Array, footprint: Array, fine: Array, middle: Array, where: Mask, color: Array) -> None:
    """Paint concrete slabs with an edge of 40 cm."""
    edge = 0.4
    tint = scatter(np.floor(x / edge), np.floor(across / edge))
    slab = np.array(SLABS, np.float32) * np.clip(0.87 + 0.26 * tint + 0.08 * fine + 0.05 * middle, 0.4, 2)[:, None]
    joint = edge / 2 - np.maximum(np.abs(np.mod(x, edge) - edge / 2), np.abs(np.mod(across, edge) - edge / 2))
    slab *= 1 - 0.4 * (stripe(joint, 0.008, footprint) * np.clip(0.05 / footprint, 0, 1))[:, None]
    blend(color, where, slab)


def _tracks(scene: Scene, x: Array, across: Array, road: Mask, color: Array) -> None:
    """Paint tracks polished by tyres, a dark oil stripe in the middle of each lane, and manhole covers."""
    for lane in (scene.lane, -scene.lane):
        off = across - lane
        polished = sum(np.exp(-(((off - track) / 0.28) ** 2)) for track in (-0.75, 0.75))
        color *= (1 + road * (0.1 * polished - 0.12 * np.exp(-((off / 0.35) ** 2))))[:, None]
    cover = np.where(road, np.hypot(np.mod(x, 27.0) - 12.0, across - scene.lane - 0.3), 9.0)
    blend(color, cover < 0.33, (0.09, 0.085, 0.08))
    blend(color, (cover < 0.36) & (cover > 0.31), (0.3, 0.29, 0.27))


def _kerbs(scene: Scene, x: Array, across: Array, label: Labels, footprint: Array, color: Array) -> None:
    """Paint granite kerb stones of one metre next to the carriageway and its bays, and the gutter before them."""
    asphalt = (label == LABEL["road"]) | (label == LABEL["parking"])
    for side in scene.sides:
        off = side.sign * across - side.bay
        stone = ~asphalt * stripe(np.abs(off - 0.08), 0.08, footprint) * (side.walk > side.bay)
        tint = 0.42 * (0.85 + 0.3 * scatter(np.floor(x), np.floor(across)))
        blend(color, stone, tint[:, None] * np.array([1.0, 0.98, 0.94], np.float32))
        blend(color, 0.5 * asphalt * stripe(np.abs(off + 0.12), 0.12, footprint), (0.09, 0.088, 0.085))


def _markings(
    scene: Scene, x: Array, across: Array, label: Labels, footprint: Array, worn: Array, color: Array
) -> None:
    """Paint the line between the lanes, edges and bars of parking bays, and pedestrian crossings."""
    half = np.float32(scene.ground.half)
    road = label == LABEL["road"]
    zebra = np.zeros_like(road)
    junction = np.zeros_like(road)
    for c in scene.ground.crossings:
        junction |= np.abs(x - np.float32(c.x)) < c.half + 1
        middle = c.x - c.half - 2.5 - ZEBRA / 2
        zebra |= np.abs(x - np.float32(middle)) < ZEBRA / 2
    free = ~zebra & ~junction
    marks = road * stripe(np.abs(across), 0.06, footprint) * (np.mod(x, 6.0) < 3.0) * free
    for side in scene.sides:
        if side.bay > side.road:
            off = side.sign * across
            edge = stripe(np.abs(off - side.road), 0.05, footprint) * free
            bars = stripe(np.abs(np.mod(x, 6.0) - 3.0), 0.05, footprint) * (off > side.road) * (off < side.bay)
            marks = np.maximum(marks, np.maximum(edge, bars * (label == LABEL["parking"])))
    bars = stripe(np.abs(np.mod(across, 1.0) - 0.5), 0.25, footprint)
    marks = np.maximum(marks, bars * zebra * road * (np.abs(across) < half - 0.3))
    blend(color, marks * np.clip(0.82 + 0.15 * worn, 0.15, 0.95), PAINT)
