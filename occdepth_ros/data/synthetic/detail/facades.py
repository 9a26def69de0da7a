"""Detailed colours of buildings for the sample drive: walls with windows and doors, roofs."""

from __future__ import annotations

import numpy as np

from occdepth_ros.data.synthetic.detail.surfaces import BLACK, GLASS, PANE, Array, Mask, Surface, blend, grained, stripe
from occdepth_ros.data.synthetic.rendering.texture import scatter


def house_front(s: Surface) -> tuple[Array, Array]:
    """Paint walls of plaster or brick with windows and a door."""
    x, y, z = s.local
    gable = np.abs(s.normal[0]) > 0.5
    u = np.where(gable, y - (s.upper[1] + s.lower[1]) / 2, x)
    wide = np.where(gable, s.upper[1] - s.lower[1], s.upper[0] - s.lower[0])
    number = [scatter(s.solid, k) for k in range(30, 36)]
    color = grained(s, u, z, 0.04, 0.05)
    color *= (1 - 0.12 * np.exp(-np.maximum(z, 0) / 0.5))[:, None]
    _bricks(s, u, z, number[0] < 0.3, color)
    rows = np.maximum(np.round(s.shape / 2.9), 1)
    storey = s.shape / rows
    columns = np.maximum(np.floor((wide - 0.6) / (2.2 + 0.9 * number[1])), 1)
    pitch = (wide - 0.6) / columns
    cell, row = np.floor((u + wide / 2 - 0.3) / pitch), np.floor(z / storey)
    signed = u + wide / 2 - 0.3 - (cell + 0.5) * pitch
    across, height = np.abs(signed), z - row * storey
    upright = np.abs(s.normal[2]) < 0.5
    glazed = upright & (cell >= 0) & (cell < columns) & (row >= 0) & (row < rows) & (~gable | (np.mod(cell, 2) == 0))
    door = glazed & (cell == np.floor(columns / 2)) & (row == 0) & (s.normal[1] < -0.5)
    glazed &= ~door
    half, sill = 0.42 + 0.22 * number[2], storey * 0.36
    tall = storey * (0.46 + 0.06 * number[3])
    surround = np.where(number[4] < 0.6, 0.58, 0.42)[:, None] * np.array([[1.0, 0.97, 0.9]])
    frame = np.where(number[5] < 0.75, 0.7, 0.1)[:, None] * np.array([[1.0, 0.98, 0.94]])
    blend(color, upright & (row > 0) & (row <= rows) & (height < 0.12), surround)
    top = sill + tall
    blend(color, glazed & (across < half + 0.13) & (height > sill - 0.13) & (height < top + 0.13), surround)
    inside = glazed & (across < half) & (height > sill) & (height < top)
    blend(color, inside, frame)
    border = np.minimum(half - across, np.minimum(height - sill, top - height))
    pane = inside & (border > 0.055) & (across > 0.03) & (np.abs(height - sill - 0.68 * tall) > 0.025)
    blend(color, pane, PANE)
    chance = scatter(cell, row, s.solid)
    curtain = pane & (chance > 0.5) & (across > half * (0.25 + 0.9 * np.mod(chance * 7, 1)))
    blind = pane & (chance < 0.25) & (height > sill + tall * (0.3 + 2.2 * chance))
    blend(color, 0.8 * curtain, (0.4, 0.38, 0.35))
    blend(color, 0.85 * blind, (0.45, 0.43, 0.38))
    # the upper and left edges of the opening cast shadows on the panes
    blend(color, 0.55 * (inside & ((top - height < 0.12) | (signed < 0.09 - half))), BLACK)
    shutter = glazed & (across > half + 0.02) & (across < 1.9 * half) & (height > sill) & (height < top)
    slats = np.where(np.mod(height, 0.09) < 0.02, 0.55, 1.0)[:, None] * _door_color(s)
    blend(color, shutter & (number[1] > 0.7) & (s.footprint < 0.2), slats)
    leaf = door & (across < 0.52) & (z < 2.6)
    blend(color, door & (across < 0.66) & (z < 2.75), surround)
    blend(color, leaf, _door_color(s))
    blend(color, leaf & (across < 0.34) & (z > 1.6) & (z < 2.4), PANE)
    gloss = np.where(pane, np.where(curtain | blind, 0.3, GLASS), 0.0)
    return color, gloss.astype(np.float32)


def _door_color(s: Surface) -> Array:
    choice = np.array([(0.16, 0.05, 0.03), (0.03, 0.09, 0.06), (0.04, 0.06, 0.13), (0.12, 0.075, 0.04)], np.float32)
    return np.asarray(choice[(4 * scatter(s.solid, 41)).astype(np.int32) % 4], np.float32)


def _bricks(s: Surface, u: Array, z: Array, where: Mask, color: Array) -> None:
    """Paint courses of bricks, 8 cm high, in running bond; joints fade in pixels that are wider than a joint."""
    row = np.floor(z / 0.08)
    along = u + 0.12 * np.mod(row, 2)
    tint = scatter(row, np.floor(along / 0.24), s.solid)
    near = np.clip(0.05 / s.footprint, 0, 1)
    bricks = np.array([0.33, 0.145, 0.092], np.float32) * (1 + 0.5 * near * (tint - 0.5))[:, None]
    edge = np.minimum(np.abs(np.mod(z + 0.04, 0.08) - 0.04), np.abs(np.mod(along + 0.12, 0.24) - 0.12))
    blend(bricks, near * stripe(edge, 0.006, s.footprint), (0.4, 0.37, 0.33))
    bricks *= (color / np.maximum(s.color, 1e-3)).mean(axis=1, keepdims=True)
    blend(color, where & (np.abs(s.normal[2]) < 0.5), bricks)


def roof(s: Surface) -> tuple[Array, Array]:
    """Paint clay tiles in rows along the eaves; chimneys, verges and gutters stay uniform."""
    pitched = np.abs(s.normal[2]) < 0.97
    ridge_along_x = np.abs(s.normal[0]) < 0.2
    u, run = np.where(ridge_along_x, s.local[0], s.local[1]), np.where(ridge_along_x, s.local[1], s.local[0])
    slope = run / np.maximum(np.abs(s.normal[2]), 0.3)
    row, near = np.floor(slope / 0.33), np.clip(0.09 / s.footprint, 0, 1)
    column = np.floor(u / 0.24 + 0.5 * np.mod(row, 2))
    shade = 0.35 * (scatter(row, column, s.solid) - 0.5) + 0.06 * np.cos(u / 0.24 * 2 * np.pi)
    shade -= 0.5 * stripe(np.abs(np.mod(slope, 0.33) - 0.165), 0.03, s.footprint)
    color = grained(s, u, slope, 0.06, 0.08)
    color *= np.where(pitched, np.clip(1 + near * shade, 0.3, 2), 0.8)[:, None]
    return color, np.zeros(s.solid.size, np.float32)
