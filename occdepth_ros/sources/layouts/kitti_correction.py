"""Correction of the published calibration of KITTI's colour cameras."""

from __future__ import annotations

from dataclasses import replace

from occdepth_ros.camera import StereoRig

DISPARITY_ERROR_PX = 0.3
"""True minus matched disparity, pixels of the published size, of surfaces farther than 14 m, on every recording day; at
40 m it moves a surface by 1.2 m. Matches of rendered pairs have no such error. Measurements: docs/evaluation.md."""
FOCAL_LENGTHS_PX = (721.5377, 707.0493, 718.3351, 707.0912, 718.856)
"""Published focal lengths of the rectified images, one for each recording day."""
WIDTHS_PX = (1224, 1242)
"""Least and greatest width of the published rectified images."""
_SAME_PX = 1e-3


def corrected(rig: StereoRig) -> StereoRig:
    """Move the right principal point of a rig with KITTI's published calibration by `DISPARITY_ERROR_PX`.

    Other rigs, images of another size and rigs that are already corrected are returned as they are.

    Args:
        rig: rig of the colour cameras.
    """
    focal = float(rig.left.projection[0, 0])
    is_published = any(abs(focal - published) < _SAME_PX for published in FOCAL_LENGTHS_PX)
    is_published &= WIDTHS_PX[0] <= rig.left.width <= WIDTHS_PX[1]
    if not is_published or abs(rig.disparity_offset) > _SAME_PX:
        return rig
    projection = rig.right.projection.copy()
    projection[0] += DISPARITY_ERROR_PX * projection[2]
    return replace(rig, right=replace(rig.right, projection=projection))
