"""Every encoding that carries an image, in the bag reader and in the node, against the image that was encoded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers.sequences import BASELINE, HEIGHT, WIDTH, projection
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.errors import ImageError
from occdepth_ros.sources import open_source
from occdepth_ros.sources.encodings import ENCODINGS, EncodingError, ImageDecoder

PATTERNS = {"rggb": (0, 1, 1, 2), "bggr": (2, 1, 1, 0), "gbrg": (1, 2, 0, 1), "grbg": (1, 0, 2, 1)}
"""Channel of RGB at rows and columns (even, even), (even, odd), (odd, even), (odd, odd)."""


def smooth_image() -> np.ndarray:
    """A coloured image without steps, so that chroma subsampling and demosaicing lose little."""
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    return np.stack([60 + 130 * x, 180 - 110 * y, 70 + 60 * x * y], -1).astype(np.uint8)


def mosaic(image: np.ndarray, pattern: str) -> np.ndarray:
    levels = np.empty(image.shape[:2], np.uint8)
    for place, channel in enumerate(PATTERNS[pattern]):
        levels[place // 2 :: 2, place % 2 :: 2] = image[place // 2 :: 2, place % 2 :: 2, channel]
    return levels


def yuv_planes(image: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr of ITU-R BT.601 with the limited range of video, `[H, W, 3]`."""
    r, g, b = (image[..., i].astype(float) for i in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    return np.clip(np.rint(np.stack([y, u, v], -1)), 0, 255).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def encode(image: np.ndarray, encoding: str) -> np.ndarray:
    """Bytes of an encoding, `[rows, step]`."""
    y, u, v = np.moveaxis(yuv_planes(image), -1, 0)
    if encoding in ("nv12", "nv21", "nv24"):
        chroma = np.stack([v, u] if encoding == "nv21" else [u, v], -1)
        chroma = chroma if encoding == "nv24" else chroma[::2, ::2]
        return np.concatenate([y, chroma.reshape(-1, WIDTH)])
    if encoding in ("yuv422", "uyvy", "yuv422_yuy2", "yuyv"):
        chroma = np.where(np.arange(WIDTH) % 2 == 0, np.roll(u, 0, 1), np.roll(v, 1, 1))
        pair = [chroma, y] if encoding in ("yuv422", "uyvy") else [y, chroma]
        return np.stack(pair, -1).reshape(HEIGHT, -1)
    wide = "16" in encoding
    if encoding.startswith("bayer_"):
        pixels = mosaic(image, encoding[6:10])
    elif encoding in ("mono8", "mono16", "8UC1", "16UC1"):
        pixels = grey(image)
    else:
        alpha = np.full((HEIGHT, WIDTH, 1), 9, np.uint8)
        ordered = image if encoding.startswith("rgb") else image[..., ::-1]
        has_alpha = "a" in encoding or encoding.endswith("C4")
        pixels = np.concatenate([ordered, alpha], -1) if has_alpha else ordered
    samples = pixels.astype("<u2") * 257 if wide else pixels
    return np.ascontiguousarray(samples).reshape(HEIGHT, -1).view(np.uint8)


def check(decoded: np.ndarray, encoding: str) -> None:
    is_grey = ENCODINGS[encoding].is_grey
    expected = grey(smooth_image())[..., None].repeat(3, -1) if is_grey else smooth_image()
    difference = np.abs(decoded.astype(int) - expected)[2:-2, 2:-2]
    exact = not encoding.startswith(("bayer", "yu", "uy", "nv"))
    assert decoded.shape == (HEIGHT, WIDTH, 3) and decoded.dtype == np.uint8
    assert difference.max() <= (0 if exact else 6), difference.max()


def test_the_list_has_the_names_of_ros() -> None:
    bayer = {f"bayer_{pattern}{bits}" for pattern in PATTERNS for bits in (8, 16)}
    colour = {f"{name}{bits}" for name in ("rgb", "rgba", "bgr", "bgra", "mono") for bits in (8, 16)}
    types = {f"{bits}UC{channels}" for bits in (8, 16) for channels in (1, 3, 4)}
    assert set(ENCODINGS) == bayer | colour | types | {
        *("yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21", "nv24")
    }


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_bag_with_every_encoding_is_decoded(tmp_path: Path, encoding: str) -> None:
    pytest.importorskip("rosbags", reason="no rosbags: bags cannot be read")
    from helpers.bags import START, Recorder

    data = encode(smooth_image(), encoding)
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for side, tx in (("left", 0.0), ("right", -BASELINE)):
            topic = f"/{side}/image_rect"
            bag.raw(topic, data.ravel(), (WIDTH, HEIGHT), data.shape[1], START, "camera", encoding)
            bag.info(f"/{side}/camera_info", projection(tx), START)
    frame = open_source(tmp_path / "drive")[0]
    check(frame.left, encoding)
    assert frame.grey == ENCODINGS[encoding].is_grey


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_node_decodes_every_encoding(encoding: str) -> None:
    messages = pytest.importorskip("sensor_msgs.msg", reason="needs a ROS 2 environment")
    pytest.importorskip("rclpy", reason="needs a ROS 2 environment")
    from occdepth_ros.nodes.conversions import image_of

    data = encode(smooth_image(), encoding)
    message = messages.Image(height=HEIGHT, width=WIDTH, step=data.shape[1], encoding=encoding)
    message.data = data.tobytes()
    check(image_of(message, "left/image_rect"), encoding)


def decode_raw(data: np.ndarray, encoding: str, **options: bool) -> np.ndarray:
    return ImageDecoder().raw(data.ravel(), (WIDTH, HEIGHT), data.shape[1], encoding, "topic", **options)[0]


def test_big_endian_samples_are_swapped() -> None:
    data = encode(smooth_image(), "rgb16")
    check(decode_raw(data.reshape(HEIGHT, -1, 2)[..., ::-1].reshape(HEIGHT, -1), "rgb16", is_bigendian=True), "rgb16")


@given(st.integers(0, 40))
@settings(max_examples=10, deadline=None)
def test_padding_at_the_end_of_rows_is_ignored(padding: int) -> None:
    for encoding in ("rgb8", "mono16", "bayer_grbg8", "yuyv"):
        data = np.pad(encode(smooth_image(), encoding), ((0, 0), (0, padding)), constant_values=77)
        check(decode_raw(data, encoding), encoding)


@pytest.mark.parametrize(("encoding", "bytes_per_pixel"), [("nv12", 1.5), ("nv21", 2), ("nv24", 3)])
def test_the_step_of_several_planes_may_count_all_bytes_of_a_pixel(encoding: str, bytes_per_pixel: float) -> None:
    data = encode(smooth_image(), encoding).ravel()
    step = int(bytes_per_pixel * WIDTH)
    check(ImageDecoder().raw(data, (WIDTH, HEIGHT), step, encoding, "topic")[0], encoding)


@pytest.mark.parametrize("encoding", ["mono16", "bayer_rggb16", "16UC1", "rgb16"])
def test_12_bit_content_in_16_bits_is_scaled(encoding: str) -> None:
    wide = encode(smooth_image(), encoding).view("<u2")
    check(decode_raw((wide >> 4).view(np.uint8), encoding), encoding)


def test_a_dark_16_bit_image_stays_dark_after_a_bright_one() -> None:
    decoder = ImageDecoder()
    for level, expected in ((100, 6), (60_000, 234), (100, 0)):
        data = np.full((HEIGHT, WIDTH), level, "<u2").view(np.uint8)
        image, is_grey = decoder.raw(data.ravel(), (WIDTH, HEIGHT), data.shape[1], "mono16", "topic")
        assert is_grey and (image == expected).all()


@pytest.mark.parametrize("encoding", ["32FC1", "8SC3", "64FC1", "16SC1", "8UC2", "no_such", ""])
def test_other_encodings_are_named(encoding: str) -> None:
    with pytest.raises(EncodingError, match=rf"topic: the encoding '{encoding}' is not supported.*rgb8.*nv12"):
        decode_raw(np.zeros((HEIGHT, 8 * WIDTH), np.uint8), encoding)


@given(
    st.sampled_from(sorted(ENCODINGS)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 60), st.integers(0, 900)
)
@settings(max_examples=200, deadline=None)
def test_any_size_is_decoded_or_refused(encoding: str, width: int, height: int, step: int, count: int) -> None:
    try:
        image, _ = ImageDecoder().raw(np.zeros(count, np.uint8), (width, height), step, encoding, "topic")
    except ImageError as error:
        assert "topic" in str(error)
    else:
        assert image.shape == (height, width, 3)


FORMATS = {"jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 98], 12), "png": (".png", [], 6)}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_compressed_bayer_pattern_is_demosaiced(form: str, pattern: str) -> None:
    suffix, options, tolerance = FORMATS[form]
    contents = cv2.imencode(suffix, mosaic(smooth_image(), pattern), options)[1].tobytes()
    message = SimpleNamespace(format=f"bayer_{pattern}8; {form} compressed ", data=contents)
    image, is_grey = ImageDecoder()(message, "topic")
    assert not is_grey
    assert np.abs(image.astype(int) - smooth_image())[2:-2, 2:-2].mean() <= tolerance / 3


def test_compressed_16_bits_and_demosaiced_images() -> None:
    wide = mosaic(smooth_image(), "gbrg").astype(np.uint16) * 16
    contents = cv2.imencode(".png", wide)[1].tobytes()
    image, _ = ImageDecoder().compressed(contents, "bayer_gbrg16; png compressed ", "topic")
    check(image, "bayer_gbrg16")
    contents = cv2.imencode(".png", smooth_image()[..., ::-1])[1].tobytes()
    for form in ("bayer_gbrg8; png compressed bgr8", "rgb8; png compressed bgr8", "png"):
        np.testing.assert_array_equal(ImageDecoder().compressed(contents, form, "topic")[0], smooth_image())


@pytest.mark.parametrize(
    ("form", "remedy"),
    [
        ("16UC1; compressedDepth png", "depth image"),
        ("h264", "republish"),
        ("ffmpeg", "republish"),
        ("theora", "republish"),
    ],
)
def test_streams_that_are_not_still_images_are_named(form: str, remedy: str) -> None:
    with pytest.raises(EncodingError, match=rf"{form.split()[0]}.*{remedy}"):
        ImageDecoder().compressed(b"\0" * 50, form, "topic")
