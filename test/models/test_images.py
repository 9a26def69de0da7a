"""From a rig's image to the network's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.models.images import ImageFit, normalize

KITTI = (370, 1220)


def rig_of(height: int, width: int) -> StereoRig:
    k = np.array([[0.6 * width, 0, width / 2.1], [0, 0.6 * width, height / 1.9], [0, 0, 1]])
    right = np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    return StereoRig(
        PinholeCamera(np.hstack([k, np.zeros((3, 1))]), width, height),
        PinholeCamera(right, width, height),
        np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
    )


@pytest.mark.parametrize("size", [(370, 1220), (376, 1241), (375, 1242), (370, 1226), (374, 1238), (370, 1224)])
def test_images_of_kitti_keep_their_scale_and_intrinsics(size: tuple[int, int]) -> None:
    fit = ImageFit.between(size, KITTI)
    assert fit.scaled == size
    assert fit.content == KITTI
    before, after = rig_of(*size), fit.rig(rig_of(*size))
    assert np.array_equal(before.left.projection, after.left.projection)
    assert np.array_equal(before.right.projection, after.right.projection)
    assert (after.left.height, after.left.width) == KITTI


def test_a_crop_is_the_upper_left_window() -> None:
    images = torch.randint(0, 256, (2, 376, 1241, 3), dtype=torch.uint8)
    out = ImageFit.between((376, 1241), KITTI).apply(images)
    torch.testing.assert_close(out, normalize(images[:, :370, :1220]))


def test_a_slightly_smaller_image_is_padded_with_the_mean_colour() -> None:
    fit = ImageFit.between((360, 1200), KITTI)
    out = fit.apply(torch.full((1, 360, 1200, 3), 255, dtype=torch.uint8))
    assert out.shape == (1, 3, *KITTI)
    assert (out[:, :, :360, :1200] > 1).all()
    assert (out[:, :, 360:] == 0).all()
    assert (out[:, :, :, 1200:] == 0).all()
    # no voxel may fall on the filling
    assert (fit.rig(rig_of(360, 1200)).left.height, fit.rig(rig_of(360, 1200)).left.width) == (360, 1200)


@settings(deadline=None)
@given(height=st.integers(8, 2000), width=st.integers(8, 3000))
def test_images_are_cropped_by_at_most_five_percent(height: int, width: int) -> None:
    fit = ImageFit.between((height, width), KITTI)
    assert fit.content[0] <= KITTI[0]
    assert fit.content[1] <= KITTI[1]
    if fit.scaled == (height, width):
        assert fit.content[0] >= 0.9 * height
        assert fit.content[1] >= 0.9 * width
    else:
        assert fit.scaled == fit.content  # nothing cut off
        assert fit.content[0] == KITTI[0] or fit.content[1] == KITTI[1]
        assert fit.scaled[0] / height == pytest.approx(fit.scaled[1] / width, abs=1 / min(height, width))


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (1080, 1920), (200, 300)])
def test_a_resized_image_and_its_rig_agree_on_where_a_point_is(size: tuple[int, int]) -> None:
    rig, fit = rig_of(*size), ImageFit.between(size, KITTI)
    fitted = fit.rig(rig)
    point = np.array([4.0, 0.3, -0.2, 1.0])
    at = rig.left.projection @ rig.reference_from_grid @ point
    u, v = at[:2] / at[2]
    # a blob around the point's pixel, resized like the image
    rows, columns = np.mgrid[: size[0], : size[1]]
    blob = 255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * (size[1] / 40) ** 2))
    image = torch.from_numpy(np.repeat(blob.astype(np.uint8)[None, ..., None], 3, axis=3))
    small = fit.apply(image)[0, 0].numpy()
    small = (small - small.min()) * (np.arange(KITTI[0])[:, None] < fit.content[0])
    small *= np.arange(KITTI[1]) < fit.content[1]
    weights = np.where(small > 0.1 * small.max(), small - small.min(), 0)
    found_v, found_u = (float((axis * weights).sum() / weights.sum()) for axis in np.mgrid[: KITTI[0], : KITTI[1]])
    expected = fitted.left.projection @ fitted.reference_from_grid @ point
    assert found_u == pytest.approx(expected[0] / expected[2], abs=0.35)
    assert found_v == pytest.approx(expected[1] / expected[2], abs=0.35)
    assert fitted.baseline == pytest.approx(rig.baseline)


def test_restored_depth_has_the_source_size_and_no_new_values() -> None:
    depth = torch.arange(370.0)[:, None] * 2000 + torch.arange(1220.0)
    back = ImageFit.between((376, 1241), KITTI).restore(depth)
    assert back.shape == (376, 1241)
    assert torch.equal(back[:370, :1220], depth)
    assert back[370:].isnan().all()
    assert back[:, 1220:].isnan().all()
    resized = ImageFit.between((720, 1280), KITTI).restore(torch.full(KITTI, 7.0))
    assert resized.shape == (720, 1280)
    assert (resized == 7).all()
