"""Pairs without stereo information are refused by name; good pairs pass."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks, UnusablePairError
from occdepth_ros.stereo.pair_checks.quality import assess
from occdepth_ros.stereo.pair_checks.reduced import ReducedPair

Image = npt.NDArray[np.uint8]


def rig_of(height: int, width: int) -> StereoRig:
    left = np.array([[width / 2, 0, width / 2, 0], [0, width / 2, height / 2, 0], [0, 0, 1, 0.0]])
    right = left.copy()
    right[0, 3] = -width / 2 * 0.3
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), np.eye(4))


def textured(seed: int = 0, disparity: int = 16, height: int = 120, width: int = 320) -> tuple[Image, Image]:
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 8, (width + disparity) // 8 + 2, 3), np.uint8)
    texture = cv2.resize(coarse, (8 * coarse.shape[1], height), interpolation=cv2.INTER_CUBIC)
    left, right = texture[:, :width], texture[:, disparity : disparity + width]
    return np.ascontiguousarray(left, np.uint8), np.ascontiguousarray(right, np.uint8)


def fault_of(*pairs: tuple[Image, Image], allow_unchanged: bool = False) -> str:
    """Name of the fault of the last pair, "" for none."""
    checks = InputChecks(rig_of(*pairs[0][0].shape[:2]), allow_unchanged=allow_unchanged)
    for pair in pairs[:-1]:
        checks.check(*pair)
    try:
        checks.check(*pairs[-1])
    except UnusablePairError as error:
        assert error.remedy
        return error.name
    return ""


@given(st.integers(0, 2**32 - 1), st.integers(4, 60))
@settings(max_examples=15, deadline=None)
def test_textured_pairs_pass(seed: int, disparity: int) -> None:
    assert fault_of(textured(seed, disparity)) == ""


@given(st.integers(0, 255), st.floats(0, 2.0), st.sampled_from(["left", "right", "both"]))
@settings(max_examples=20, deadline=None)
def test_a_uniform_image_with_noise_has_no_structure(grey: int, noise: float, side: str) -> None:
    rng = np.random.default_rng(grey)
    left, right = textured()
    plain = [np.clip(grey + rng.normal(0, noise, left.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    pair = (plain[0] if side != "right" else left, plain[1] if side != "left" else right)
    assert fault_of(pair) == "no_structure"


def test_the_message_names_the_covered_side_and_its_look() -> None:
    left, right = textured()
    checks = InputChecks(rig_of(*left.shape[:2]))
    with pytest.raises(UnusablePairError, match="the right image is black, without structure"):
        checks.check(left, np.zeros_like(right))
    with pytest.raises(UnusablePairError, match="both images are overexposed"):
        checks.check(np.full_like(left, 255), np.full_like(right, 255))


def test_the_same_image_on_both_sides_is_refused_even_after_compression() -> None:
    left, _ = textured()
    assert fault_of((left, left)) == "equal_images"
    again = cv2.imdecode(cv2.imencode(".jpg", left, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], cv2.IMREAD_COLOR)
    assert fault_of((left, np.asarray(again, np.uint8))) == "equal_images"


@pytest.mark.parametrize("frozen", ["left", "right", "both"])
def test_a_frozen_camera_is_named(frozen: str) -> None:
    old, new = textured(1), textured(2)
    left = old[0] if frozen != "right" else new[0]
    right = old[1] if frozen != "left" else new[1]
    assert fault_of(old, (left, right)) == "images_unchanged"
    assert fault_of(old, new) == ""


def test_unchanged_images_can_be_allowed() -> None:
    pair = textured()
    assert fault_of(pair, (pair[0].copy(), pair[1].copy()), allow_unchanged=True) == ""


def test_images_of_different_scenes_have_too_few_matches() -> None:
    left, right = np.random.default_rng(0).integers(0, 255, (2, 120, 320, 3), np.uint8)
    assert fault_of((left, right)) == "few_matches"


def test_a_partly_covered_lens_is_a_warning() -> None:
    left, right = textured()
    right[:, :160] = 0
    (warning,) = InputChecks(rig_of(*left.shape[:2])).check(left, right)
    assert warning.name == "partly_covered" and "right image" in str(warning)


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 6.0))
@settings(max_examples=10, deadline=None)
def test_one_camera_on_both_sides_has_no_parallax_in_spite_of_noise(seed: int, noise: float) -> None:
    left, _ = textured(seed)
    rng = np.random.default_rng(seed)
    both = [np.clip(left + rng.normal(0, noise, left.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    assert fault_of((both[0], both[1])) in ("no_parallax", "equal_images")


@pytest.mark.parametrize("frozen", [0, 1])
@pytest.mark.parametrize("allow_unchanged", [True, False])
def test_one_frozen_camera_is_always_refused(frozen: int, allow_unchanged: bool) -> None:
    first, second = textured(1), textured(2)
    mixed = (first[0], second[1]) if frozen == 0 else (second[0], first[1])
    checks = InputChecks(rig_of(*first[0].shape[:2]), allow_unchanged=allow_unchanged)
    checks.check(*first)
    with pytest.raises(UnusablePairError, match=r"the (left|right) image is the same as in the pair before") as caught:
        checks.check(*mixed)
    assert caught.value.name == "images_unchanged" and not caught.value.is_consistent


def test_two_frozen_cameras_show_one_moment() -> None:
    pair = textured()
    checks = InputChecks(rig_of(*pair[0].shape[:2]))
    checks.check(*pair)
    with pytest.raises(UnusablePairError, match="both images") as caught:
        checks.check(*pair)
    assert caught.value.is_consistent


def moved(pair: tuple[Image, Image], shift: int, noise: float = 0.0, seed: int = 0) -> list[Image]:
    """Both images after a motion of the camera by `shift` pixels along the rows, with noise."""
    rng = np.random.default_rng(seed)
    return [
        np.clip(np.roll(image, -shift, 1) + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8)
        for image in pair
    ]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_a_frozen_camera_is_named_in_spite_of_noise(side: str, noise: float) -> None:
    pair = textured()
    old, new = moved(pair, 0, noise, seed=1), moved(pair, 6, noise, seed=2)
    frozen = moved(pair, 0, noise, seed=3)
    mixed = (frozen[0], new[1]) if side == "left" else (new[0], frozen[1])
    checks = InputChecks(rig_of(*pair[0].shape[:2]))
    checks.check(old[0], old[1])
    with pytest.raises(UnusablePairError, match=f"the {side} image") as caught:
        checks.check(*mixed)
    assert caught.value.name == "images_unchanged" and not caught.value.is_consistent
    assert fault_of((old[0], old[1]), (new[0], new[1])) == ""


def test_a_frozen_part_of_an_image_is_named() -> None:
    pair = textured()
    old, new = moved(pair, 0, 1.0, seed=1), moved(pair, 6, 1.0, seed=2)
    half = len(old[1]) // 2
    new[1][half:] = moved(pair, 0, 1.0, seed=3)[1][half:]
    checks = InputChecks(rig_of(*pair[0].shape[:2]))
    checks.check(old[0], old[1])
    with pytest.raises(UnusablePairError, match="the third quarter and lower quarter of the right image"):
        checks.check(new[0], new[1])


def test_a_change_of_exposure_of_one_camera_is_no_frozen_camera() -> None:
    left, right = textured()
    brighter = np.clip(right * 1.2, 0, 255).astype(np.uint8)
    checks = InputChecks(rig_of(*left.shape[:2]))
    checks.check(left, right)
    noisy = moved((left, brighter), 0, 1.0)
    assert not checks.check(noisy[0], noisy[1])


def test_an_object_before_one_camera_is_no_frozen_camera() -> None:
    left, right = textured()
    checks = InputChecks(rig_of(*left.shape[:2]))
    for seed in range(4):
        checks.check(*moved((left, right), 0, 1.0, seed))
        arm = moved((left, right), 0, 1.0, seed + 10)
        arm[0][:, 40:120] = textured(seed + 20)[0][:, 40:120]
        checks.check(*arm)


def test_the_pair_after_one_damaged_image_is_used() -> None:
    left, right = textured()
    checks = InputChecks(rig_of(*left.shape[:2]))
    checks.check(*moved((left, right), 0, 1.0, 1))
    with pytest.raises(UnusablePairError):
        checks.check(moved((left, right), 0, 1.0, 2)[0], textured(9)[1])
    checks.check(*moved((left, right), 0, 1.0, 3))


def test_every_swapped_pair_is_refused() -> None:
    pair = textured()
    assert fault_of(pair, textured(1), textured(2)[::-1]) == "swapped"


def test_unequal_exposure_is_a_warning() -> None:
    left, right = textured()
    (warning,) = InputChecks(rig_of(*left.shape[:2])).check(left, (right // 2).astype(np.uint8))
    assert warning.name == "exposure_differs" and "one exposure" in str(warning)


@pytest.mark.parametrize(("grey", "name"), [(5, "partly_covered"), (255, "overexposed")])
def test_a_region_that_both_cameras_cannot_see_is_a_warning(grey: int, name: str) -> None:
    left, right = textured()
    for image in (left, right):
        image[:60] = grey
    (warning,) = InputChecks(rig_of(*left.shape[:2])).check(left, right)
    assert warning.name == name and "both images" in str(warning)


def test_exchanged_colours_of_one_camera_are_a_warning() -> None:
    left, right = textured()
    for image in (left, right):
        image[:, :, 2] //= 2
    rig = rig_of(*left.shape[:2])
    assert not InputChecks(rig).check(left, right)
    (warning,) = InputChecks(rig).check(left, np.ascontiguousarray(right[..., ::-1]))
    assert warning.name == "color_order"


def far_and_near(shift: int) -> tuple[Image, Image]:
    """A near lower and a far upper half; the content of the right image is shifted to the right."""
    near, far = textured(1, disparity=40), textured(2, disparity=2)
    left, right = (np.concatenate([far[side][:60], near[side][60:]]) for side in (0, 1))
    return left, np.roll(right, shift, 1)


@pytest.mark.parametrize(("shift", "fault"), [(-6, ""), (0, ""), (6, "negative_disparity")])
def test_a_right_image_shifted_beyond_infinity_is_refused(shift: int, fault: str) -> None:
    assert fault_of(far_and_near(shift)) == fault


def test_single_shifted_images_are_refused_and_the_pairs_between_are_not() -> None:
    checks = InputChecks(rig_of(120, 320))
    for seed, shift in enumerate((0, 6, 1, 5, 0)):
        pair = moved(far_and_near(shift), 8 * seed, 1.0, seed)
        if shift < 4:
            checks.check(*pair)
            continue
        with pytest.raises(UnusablePairError, match="beyond infinity") as caught:
            checks.check(*pair)
        assert caught.value.name == "negative_disparity" and not caught.value.is_consistent


def test_the_gradient_of_a_clear_sky_is_not_beyond_infinity() -> None:
    left, right = far_and_near(0)
    sky = np.rint(np.linspace(250, 130, 320)).astype(np.uint8)[None, :, None]
    left[:40], right[:40] = sky, np.roll(sky, 4, 1)
    assert fault_of((left, right)) == ""


def test_a_fence_is_not_beyond_infinity() -> None:
    left, right = far_and_near(0)
    posts = np.arange(320)
    left[:, posts % 16 < 4], right[:, (posts + 12) % 16 < 4] = 30, 30
    assert fault_of((left, right)) != "negative_disparity"


def test_real_pairs_with_a_shifted_right_image_are_refused(kitti_mini: Path) -> None:
    for number in ("00", "05", "07"):
        folder = kitti_mini / "dataset" / "sequences" / number
        files = (next((folder / side).glob("000005.*")) for side in ("image_2", "image_3"))
        left, right = (np.asarray(cv2.imread(str(file)), np.uint8) for file in files)
        assert fault_of((left, right)) == "" and fault_of((left, np.roll(right, 10, 1))) == "negative_disparity"


def test_real_pairs_pass(kitti_mini: Path) -> None:
    for number in ("00", "05", "07"):
        folder = kitti_mini / "dataset" / "sequences" / number
        files = (next((folder / side).glob("000005.*")) for side in ("image_2", "image_3"))
        left, right = (np.asarray(cv2.imread(str(file)), np.uint8) for file in files)
        quality = assess(ReducedPair.of(left, right, 0.0))
        assert quality.matched > 0.4 and quality.parallax_px > 0.5 and min(quality.structured) > 0.3
        assert max(quality.covered) < 0.1 and quality.at_infinity < 0.3
