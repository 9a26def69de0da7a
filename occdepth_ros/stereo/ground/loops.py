"""Compiled loops of the ground: points near it, and its match in the image by column of the grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled


@compiled
def write_near(x: Any, y: Any, z: Any, plane: Any, stride: Any, edge: Any, cells_y: Any, above: Any, cell: Any) -> int:
    """Write height above the plane, and cell, of every `stride`-th point near the plane; return their number.

    Args:
        x, y, z: surface points, `[N]` float32, voxel edges.
        plane: a, b, c of z = a x + b y + c, `[3]` float32.
        stride: stride of the points.
        edge: edge of a cell, voxel edges.
        cells_y: number of cells along y.
        above: float32, voxel edges, `[at least N / stride]`.
        cell: flat indices, int32, as long.
    """
    count = 0
    for i in range(0, len(x), stride):
        height = z[i] - (plane[0] * x[i] + plane[1] * y[i] + plane[2])
        # the error of far points is larger
        if abs(height) < np.float32(2) + np.float32(0.02) * x[i]:
            above[count] = height
            cell[count] = np.int32(x[i]) // edge * cells_y + np.int32(y[i]) // edge
            count += 1
    return count


@compiled
def add_heights(above: Any, cell: Any, field: Any, band: Any, count: Any, total: Any) -> None:
    """Add number and sum of the heights within `band` of the field, by cell.

    Args:
        above, cell: results of `write_near`.
        field: height of each cell, float32, flat.
        band: voxel edges.
        count: int64, flat.
        total: float64, flat.
    """
    for i in range(len(above)):
        if abs(above[i] - field[cell[i]]) < band:
            count[cell[i]] += 1
            total[cell[i]] += above[i]


@compiled
def write_seen(
    height: Any,
    foot: Any,
    up: Any,
    camera: Any,
    edge: Any,
    steps: Any,
    tolerance: Any,
    reach: Any,
    shares: Any,
    gradient: Any,
    limits: Any,
    rows: Any,
    disparity: Any,
    seen: Any,
    confirmed: Any,
) -> None:
    """Write whether the ground of each column is matched in the image at its disparity, and with its gradient.

    An error of the ground's height moves its row, so rows within `HEIGHT_ERROR` are tested. The disparity must be that
    of the column: on the ray over the edge of a drop, the pixels show the ground before the edge and far beyond it,
    but no disparity in between. For the gradient, one side of the row suffices: the other may lie beyond the edge of a
    drop or of the image.

    Args:
        height: height of the ground, `[C]` float32, voxel edges above the grid's lower face.
        foot: lower face of each column in the left camera, `[3, C]` float32, metres.
        up: displacement in the camera by voxel edge, `[3]` float32, metres.
        camera: focal lengths and principal point (x, y, x, y), `[4]` float32.
        edge: voxel edge, metres, float32.
        steps: product of disparity and depth.
        tolerance: largest deviation of the disparity beyond the extent of the column.
        reach: fy times the error of the ground's height, pixel metres.
        shares: tested shares of this error, `[T]` float32.
        gradient: change of the disparity of the ground over `rows` rows.
        limits: smallest and largest ratio of the measured to this change.
        rows: distance of the compared rows.
        disparity: `[H, W]` int16; at most 0 without a match.
        seen, confirmed: `[C]` uint8, initially 0.
    """
    rows_of_image, columns_of_image = disparity.shape
    half = edge / np.float32(2)
    for c in range(len(height)):
        depth = max(foot[2, c] + up[2] * height[c], edge)
        column = np.rint((foot[0, c] + up[0] * height[c]) * camera[0] / depth + camera[2])
        row = np.rint((foot[1, c] + up[1] * height[c]) * camera[1] / depth + camera[3])
        if not (0 <= column < columns_of_image and 0 <= row < rows_of_image):
            continue
        x, y = int(column), int(row)
        expected = steps / depth
        largest = tolerance + expected * half / depth
        best = -1
        for share in shares:
            there = min(max(y + int(np.rint(share * (reach / depth))), 0), rows_of_image - 1)
            found = disparity[there, x]
            if found > 0 and abs(np.float32(found) - expected) <= largest:
                best = there
                break
        if best < 0:
            continue
        seen[c] = 1
        center = np.float32(disparity[best, x])
        for factor in (-2, -1, 1):
            there = best + factor * rows
            if 0 <= there < rows_of_image and disparity[there, x] > 0:
                ratio = (np.float32(disparity[there, x]) - center) / (gradient * np.float32(factor))
                if limits[0] < ratio < limits[1]:
                    confirmed[c] = 1
