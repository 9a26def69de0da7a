"""Images that are torn between two exposures, have shifted rows, or are one pair late."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, pinhole_rays, projection, view

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks, UnusablePairError

Image = npt.NDArray[np.uint8]
Pair = tuple[Image, Image]
K = intrinsics()
STEP_M = 0.25
"""Motion from pair to pair, metres: 2.5 m/s at 10 Hz."""


@pytest.fixture(scope="module")
def drive() -> list[Pair]:
    """Three pairs of a camera that moves forwards."""
    rays = pinhole_rays(K)
    return [(view(rays, (0, 0, STEP_M * i)), view(rays, (BASELINE, 0, STEP_M * i))) for i in range(3)]


def checks() -> InputChecks:
    left, right = (PinholeCamera(projection(K, x), WIDTH, HEIGHT) for x in (0.0, BASELINE))
    return InputChecks(StereoRig(left, right, np.eye(4)))


def joined(upper: Image, lower: Image, row: int) -> Image:
    return np.concatenate([upper[:row], lower[row:]])


def shifted(image: Image, row: int, by: int) -> Image:
    return np.concatenate([image[:row], np.roll(image[row:], by, 1)])


def replaced(pair: Pair, side: int, image: Image) -> Pair:
    return (image, pair[1]) if side == 0 else (pair[0], image)


def test_the_pairs_of_a_drive_pass(drive: list[Pair]) -> None:
    check = checks()
    assert not any(check.check(*pair) for pair in drive)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("rows", [(100, 100), (60, 120)])
def test_a_torn_image_is_refused_at_every_pair(drive: list[Pair], side: int, rows: tuple[int, int]) -> None:
    check = checks()
    check.check(*drive[0])
    for i, row in enumerate(rows, 1):
        torn = replaced(drive[i], side, joined(drive[i][side], drive[i - 1][side], row))
        with pytest.raises(UnusablePairError) as caught:
            check.check(*torn)
        # a part that did not change against the first, whole pair is also a frozen one
        assert caught.value.name in (("torn_image", "images_unchanged") if i == 1 else ("torn_image",))
        assert ("left", "right")[side] in caught.value.what


@pytest.mark.parametrize("side", [0, 1])
def test_an_image_that_is_one_pair_late_is_refused(drive: list[Pair], side: int) -> None:
    check = checks()
    late = [replaced(drive[i], side, drive[i - 1][side]) for i in (1, 2)]
    # without a pair before it, it is an image of another place
    with pytest.raises(UnusablePairError) as caught:
        check.check(*late[0])
    assert caught.value.name == "scale_differs"
    with pytest.raises(UnusablePairError, match="one pair late") as caught:
        check.check(*late[1])
    assert caught.value.name == "late_image" and ("left", "right")[side] in caught.value.what


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("by", [3, 20, -60])
def test_shifted_rows_are_named_with_row_and_shift(drive: list[Pair], side: int, by: int) -> None:
    damaged = replaced(drive[0], side, shifted(drive[0][side], 120, by))
    with pytest.raises(UnusablePairError, match=re.escape(f"from row 120 on are shifted by {by:+d} pixels")) as caught:
        checks().check(*damaged)
    assert caught.value.name == "torn_image"


def test_another_scene_before_one_stationary_camera_is_not_late(drive: list[Pair]) -> None:
    check, other = checks(), drive[0][1].copy()
    other[HEIGHT // 2 :] = np.random.default_rng(0).integers(0, 255, other[HEIGHT // 2 :].shape, np.uint8)
    check.check(*drive[0])
    noisy = np.clip(drive[0][0] + np.random.default_rng(1).normal(0, 2, drive[0][0].shape), 0, 255).astype(np.uint8)
    try:
        check.check(noisy, other)
    except UnusablePairError as error:
        assert error.name not in ("late_image", "torn_image")


def test_an_object_whose_lower_edge_continues_with_a_shift_is_not_torn(drive: list[Pair]) -> None:
    left, right = (image.copy() for image in drive[0])
    for image in (left, right):
        image[120:, 90:230] = np.roll(image, 6, 1)[120:, 90:230]
    checks().check(left, right)


def test_rows_that_are_shifted_in_both_images_are_refused(drive: list[Pair]) -> None:
    with pytest.raises(UnusablePairError, match="shifted"):
        checks().check(shifted(drive[0][0], 120, 10), shifted(drive[0][1], 120, 10))
