"""Projection of a labelled LiDAR scan into an image: sparse depth and classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN

NEAREST = 0.5
"""Minimum depth of a point, metres; nearer points are on the vehicle or behind the camera."""


def project_scan(
    points: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint16],
    camera: PinholeCamera,
    camera_from_points: Matrix,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Project points into an image. Of several points in a pixel, the nearest one is used.

    Args:
        points: `[N, 3]` metres.
        labels: `[N]` raw class ids; 0 (unlabelled) is converted to unknown.
        camera: camera with the intrinsics.
        camera_from_points: pose of the points' frame in the camera's optical frame, `[4, 4]`.

    Returns:
        Depth `[H, W]` in metres along the optical axis, and class ids `[H, W]`; NaN and 255 for pixels without a point.
    """
    local = points @ camera_from_points[:3, :3].T + camera_from_points[:3, 3]
    ahead = local[:, 2] > NEAREST
    local, labels = local[ahead], labels[ahead]
    column, row, z = (local @ camera.intrinsics.T).T
    column, row = np.rint(column / z), np.rint(row / z)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    # The nearest point is written last and overwrites the others.
    order = np.flatnonzero(inside)[np.argsort(-z[inside], kind="stable")]
    pixel = row[order].astype(np.int64), column[order].astype(np.int64)
    depth = np.full((camera.height, camera.width), np.nan, np.float32)
    classes = np.full((camera.height, camera.width), UNKNOWN, np.uint8)
    depth[pixel] = z[order]
    raw = labels[order]
    classes[pixel] = np.where(raw == 0, UNKNOWN, SEMANTIC_KITTI.from_raw(raw))
    return depth, classes
