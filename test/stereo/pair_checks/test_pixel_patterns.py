"""Patterns of pixels that no scene has are named, and images of a camera without them are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from helpers.raytraced import HEIGHT, WIDTH, intrinsics, pinhole_rays, view
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.sources import open_source
from occdepth_ros.stereo.pair_checks.pixel_patterns import PixelPatterns, pixel_warnings, repeated_rows

Image = npt.NDArray[np.uint8]
RAYS = pinhole_rays(intrinsics())
IMAGE, NEXT = view(RAYS), view(RAYS, (0.1, 0.0, 0.25))


def warned(left: Image, right: Image | None = None) -> dict[str, str]:
    """Warnings of a pair by name; the right image is the left one by default."""
    other = left if right is None else right
    return {w.name: str(w) for w in pixel_warnings(PixelPatterns.of(left), PixelPatterns.of(other))}


def interlaced(image: Image) -> Image:
    image = image.copy()
    image[1::2] = NEXT[1::2]
    return image


def raw_bayer(image: Image) -> Image:
    """The samples of a Bayer sensor before a reddish scene, as a grey image."""
    tinted = image * np.array([1.0, 0.6, 0.3])
    samples = np.empty(image.shape[:2])
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        samples[row::2, column::2] = tinted[row::2, column::2, channel]
    return np.repeat(samples.astype(np.uint8)[..., None], 3, -1)


def other_yuv_order(image: Image) -> Image:
    """YUYV of a reddish scene that is read as UYVY."""
    yuv = cv2.cvtColor((image * np.array([1.0, 0.6, 0.3])).astype(np.uint8), cv2.COLOR_RGB2YUV)
    chroma = np.where(np.arange(WIDTH) % 2, np.roll(yuv[..., 2], 1, 1), yuv[..., 1])
    return np.asarray(cv2.cvtColor(np.dstack([yuv[..., 0], chroma]), cv2.COLOR_YUV2RGB_UYVY), np.uint8)


def compressed(image: Image, quality: int) -> Image:
    _, stream = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(stream, cv2.IMREAD_COLOR), np.uint8)


def padded(image: Image, scale: float = 0.8, across: float = 1.0) -> Image:
    """An image that is scaled, with black bars around it."""
    size = round(across * WIDTH), round(scale * HEIGHT)
    framed = np.zeros_like(image)
    x, y = (WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2
    framed[y : y + size[1], x : x + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return framed


@pytest.mark.parametrize(
    ("change", "name", "text"),
    [
        (interlaced, "alternating_lines", "two fields"),
        (raw_bayer, "alternating_lines", "Bayer"),
        (other_yuv_order, "alternating_lines", "YUV 4:2:2"),
        (lambda image: compressed(image, 5), "blocky_images", "blocks of 8 pixels"),
        (lambda image: image // 32 * 32, "few_grey_levels", "grey levels only"),
        (padded, "black_bars", "20 and 20 rows at the top and bottom and 0 and 0 columns"),
        (lambda image: padded(image, 1.0, 0.75), "black_bars", "and 40 and 40 columns at the sides"),
    ],
)
def test_a_pattern_is_named_with_its_sides(change: Callable[[Image], Image], name: str, text: str) -> None:
    assert warned(IMAGE) == {}
    found = warned(change(IMAGE))
    assert found.keys() == {name} and text in found[name]
    if name != "black_bars":
        assert "right image" in warned(IMAGE, change(IMAGE))[name]


@given(st.integers(0, 2**32 - 1), st.integers(40, 300), st.integers(40, 300), st.floats(0, 90))
@settings(max_examples=60, deadline=None)
def test_noise_and_texture_have_no_pattern(seed: int, height: int, width: int, deviation: float) -> None:
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.normal(128, 60, (height // 8, width // 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(image + rng.normal(0, deviation, image.shape), 0, 255).astype(np.uint8)
    assert warned(np.repeat(noisy[..., None], 3, -1)) == {}


def test_bars_of_one_image_and_curved_borders_are_no_padding() -> None:
    assert warned(padded(IMAGE), IMAGE) == {}
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    border = 25 - 20 * ((columns - WIDTH / 2) / (WIDTH / 2)) ** 2
    curved = np.where(((rows < border) | (rows >= HEIGHT - border))[..., None], 0, IMAGE).astype(np.uint8)
    assert warned(curved) == {}


def test_repeated_rows_are_counted_where_data_were_lost_only() -> None:
    lost = IMAGE.copy()
    lost[120:] = lost[120]
    assert repeated_rows(lost) == HEIGHT - 120
    assert repeated_rows(IMAGE) == 0
    few = IMAGE.copy()
    few[HEIGHT - 10 :] = few[HEIGHT - 10]
    uniform = IMAGE.copy()
    uniform[120:] = 90
    fence = np.repeat(IMAGE[:1], HEIGHT, 0)
    assert repeated_rows(few) == repeated_rows(uniform) == repeated_rows(fence) == 0


def test_small_images_are_measured() -> None:
    for shape in ((1, 1), (2, 9), (9, 2), (8, 8)):
        image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
        assert repeated_rows(image) == 0
        PixelPatterns.of(image)


def test_real_images_have_no_pattern(kitti_mini: Path) -> None:
    for sequence in sorted((kitti_mini / "dataset" / "sequences").iterdir()):
        frame = open_source(sequence)[0]
        assert warned(frame.left, frame.right) == {}, sequence
        assert repeated_rows(frame.left) == repeated_rows(frame.right) == 0
