"""A right image that is magnified against the left one is refused; equal scales are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, pair, pinhole_rays, projection, rotated

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.sources import open_source
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks, UnusablePairError
from occdepth_ros.stereo.pair_checks.reduced import ReducedPair
from occdepth_ros.stereo.pair_checks.row_scale import magnification

Image = npt.NDArray[np.uint8]
K = intrinsics()
RIG = StereoRig(
    PinholeCamera(projection(K), WIDTH, HEIGHT), PinholeCamera(projection(K, BASELINE), WIDTH, HEIGHT), np.eye(4)
)


def zoomed(image: Image, scale: float) -> Image:
    """The image magnified about its centre."""
    height, width = image.shape[:2]
    change = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, scale)
    return np.asarray(cv2.warpAffine(image, change, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


@pytest.fixture(scope="module")
def images() -> tuple[Image, Image]:
    return pair(pinhole_rays(K))


@pytest.mark.parametrize("scale", [0.93, 0.96, 1.04, 1.07])
@pytest.mark.parametrize("side", [0, 1])
def test_one_magnified_image_is_refused_with_the_scale(images: tuple[Image, Image], scale: float, side: int) -> None:
    changed = list(images)
    changed[side] = zoomed(images[side], scale)
    measured = magnification(ReducedPair.of(changed[0], changed[1], 0.0))
    # matching across the rows is poor towards the edges, which makes the measured scale smaller
    expected = scale - 1 if side else 1 / scale - 1
    assert np.sign(measured) == np.sign(expected) and 0.35 * abs(expected) < abs(measured) < 1.2 * abs(expected)
    with pytest.raises(UnusablePairError) as caught:
        InputChecks(RIG).check(changed[0], changed[1])
    assert caught.value.name == "scale_differs" and "focal length" in caught.value.remedy


@pytest.mark.parametrize("pitch", [-5.0, 0.0, 10.0])
def test_a_rectified_pair_has_one_scale(pitch: float) -> None:
    left, right = pair(rotated(pinhole_rays(K), pitch=pitch))
    assert magnification(ReducedPair.of(left, right, 0.0)) == 0
    # a shift of the rows is another fault
    assert magnification(ReducedPair.of(left, np.roll(right, 1, axis=0), 0.0)) == 0


def test_images_without_matches_have_no_scale() -> None:
    plain = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert magnification(ReducedPair.of(plain, plain, 0.0)) == 0
    noise = np.random.default_rng(0).integers(0, 255, (2, HEIGHT, WIDTH, 3), np.uint8)
    assert magnification(ReducedPair.of(noise[0], noise[1], 0.0)) == 0


def test_real_pairs_have_one_scale_and_magnified_ones_are_refused(kitti_mini: Path) -> None:
    for number in ("00", "05", "09"):
        source = open_source(kitti_mini / "dataset" / "sequences" / number)
        frame, offset = source[5], source.rig.disparity_offset
        assert magnification(ReducedPair.of(frame.left, frame.right, offset)) == 0
        assert magnification(ReducedPair.of(frame.left, zoomed(frame.right, 1.05), offset)) > 0.02
