"""Semi-global matching as a source of depth."""

from __future__ import annotations

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.monoocc.proposals.source import Depth
from occdepth_ros.models.predictor import ImageArray
from occdepth_ros.stereo.occupancy import WORKING_WIDTH, StereoOccupancy


class SemiGlobalDepth:
    """Depth of reliable matches without isolated patches; a `DepthSource` without weights.

    Args:
        working_width: larger images are matched at the integer fraction of their size that is nearest to this width,
            pixels; the depth has that size.
    """

    def __init__(self, working_width: int = WORKING_WIDTH) -> None:
        self._working_width = working_width
        self._stereo: tuple[tuple[str, VoxelGrid], StereoOccupancy] | None = None

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Depth:
        """See `DepthSource`.

        Raises:
            CalibrationError: the images are too small to be matched.
        """
        key = rig.fingerprint, grid
        if self._stereo is None or self._stereo[0] != key:
            self._stereo = key, StereoOccupancy(rig, grid, working_width=self._working_width)
        stereo = self._stereo[1]
        disparity = stereo.matcher.match(stereo.resized(left), stereo.resized(right))
        return stereo.matcher.depth(stereo.binning.without_near_speckles(disparity))
