"""Semi-global matching (Hirschmüller, 2008) of a rectified pair: two images become disparity and depth."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CalibrationError

ImageArray = npt.NDArray[np.uint8]

STEPS = 16
"""Fixed-point steps of a disparity, per pixel: what OpenCV's matchers return."""
SIGMA_PX = 0.5
"""Standard deviation of a disparity, pixels: what remains against LiDAR on KITTI, outliers apart."""
BLANK_SLOPE = 6
"""Mean horizontal Sobel response below which a bright window shows nothing to match."""
BLANK_BRIGHTNESS = 120
"""Mean grey level above which a window without texture is not trusted."""
NO_MATCH = -1
"""Raw disparity of a pixel without a reliable match."""


class SemiGlobalMatcher:
    """Dense disparity of the left image.

    Three-path semi-global matching with sub-pixel interpolation, then left-right consistency, uniqueness and speckle
    tests; what fails one of them is no match. The images are widened to the left by the largest disparity, so that
    the left margin is matched as far as the right image shows it.

    Args:
        rig: the calibrated cameras.
        nearest_m: smallest depth to be found, metres; with fx * baseline it sets the number of disparities.

    Raises:
        CalibrationError: the image is too narrow for the disparities that the calibration asks for.
    """

    def __init__(self, rig: StereoRig, *, nearest_m: float) -> None:
        self.focal_baseline = float(rig.left.projection[0, 0]) * rig.baseline
        """Depth times disparity, pixel metres."""
        self.offset = rig.disparity_offset
        self.lowest = math.floor(self.offset)
        wanted = self.focal_baseline / nearest_m + self.offset - self.lowest
        # a surface that would shift by more than half an image is seen by neither camera whole
        self.count = 16 * max(1, min(math.ceil(wanted / 16), rig.left.width // 32))
        if rig.left.width < 64 or rig.left.height < 16:
            raise CalibrationError(
                f"images of {rig.left.width}x{rig.left.height} are too small for stereo matching",
                where="stereo calibration",
                remedy="Use at least 64x16 pixels.",
            )
        self.columns = np.arange(rig.left.width, dtype=np.int16)[None, :] * STEPS
        self._margin = max(self.lowest + self.count, 0)
        self._matcher = create_matcher(self.lowest, self.count)

    def match(self, left: ImageArray, right: ImageArray) -> npt.NDArray[np.int16]:
        """Match one pair.

        Args:
            left, right: `[H, W, 3]` RGB uint8.

        Returns:
            `[H, W]` int16: disparity minus the rig's offset, in `1 / STEPS` pixels, so that
            depth = focal_baseline * STEPS / value; at least 0, `NO_MATCH` where there is none.
        """
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right)]
        wide = [cv2.copyMakeBorder(image, 0, 0, self._margin, 0, cv2.BORDER_REPLICATE) for image in grey]
        raw = self._matcher.compute(wide[0], wide[1])[:, self._margin :]
        # a match beyond the right image's margin met the widening, not a surface
        found = (raw >= self.lowest * STEPS) & (raw <= self.columns) & ~is_blank(grey[0])
        shift = round(self.offset * STEPS)
        return np.where(found & (raw >= shift), raw - np.int16(shift), np.int16(NO_MATCH)).astype(np.int16, copy=False)

    def depth(self, disparity: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """Depth (z) by disparity, `[H, W]` float32 metres; NaN without a match or at no more than one step."""
        steps = np.where(disparity > 1, disparity, np.nan).astype(np.float32)
        return np.float32(self.focal_baseline * STEPS) / steps


def is_blank(grey: cv2.typing.MatLike) -> npt.NDArray[np.bool_]:
    """Bright and without texture, `[H, W]`: sky and glare, which smoothing fills from whatever borders them."""
    slope = cv2.convertScaleAbs(cv2.Sobel(grey, cv2.CV_16S, 1, 0))
    return np.asarray((cv2.blur(slope, (9, 9)) < BLANK_SLOPE) & (cv2.blur(grey, (9, 9)) > BLANK_BRIGHTNESS))


def create_matcher(lowest: int, count: int, *, speckles: int = 200) -> cv2.StereoSGBM:
    """OpenCV's semi-global matcher with the settings of this package; `lowest` and `count` in whole pixels."""
    block = 5
    return cv2.StereoSGBM.create(
        minDisparity=lowest,
        numDisparities=count,
        blockSize=block,
        P1=8 * block * block,
        P2=32 * block * block,
        disp12MaxDiff=1,
        preFilterCap=63,
        uniquenessRatio=10,
        speckleWindowSize=speckles,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
