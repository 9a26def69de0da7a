"""What this project relies on in ``cv_bridge``: true of the stand-in and of the real package."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")
pytest.importorskip("cv_bridge", reason="needs cv_bridge or its stand-in")

import cv2
from cv_bridge import CvBridge, CvBridgeError
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

Array = np.ndarray[Any, np.dtype[Any]]

TYPES = {
    "mono8": ("uint8", 1),
    "mono16": ("uint16", 1),
    "bgr8": ("uint8", 3),
    "rgb8": ("uint8", 3),
    "bgra8": ("uint8", 4),
    "rgba8": ("uint8", 4),
    "bgr16": ("uint16", 3),
    "bayer_rggb8": ("uint8", 1),
    "bayer_grbg16": ("uint16", 1),
    "yuv422": ("uint8", 2),
    "yuv422_yuy2": ("uint8", 2),
    "8UC1": ("uint8", 1),
    "8UC3": ("uint8", 3),
    "16UC1": ("uint16", 1),
    "16SC2": ("int16", 2),
    "32SC1": ("int32", 1),
    "32FC1": ("float32", 1),
    "32FC3": ("float32", 3),
    "64FC1": ("float64", 1),
}


def random_image(dtype: str, channels: int, height: int = 6, width: int = 8, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    shape = (height, width) if channels == 1 else (height, width, channels)
    if np.dtype(dtype).kind == "f":
        return generator.normal(size=shape).astype(dtype)
    return generator.integers(0, 127, shape).astype(dtype)


def message_of(image: Array, encoding: str, padding: int = 0, big_endian: bool = False) -> Image:
    """Write the message by hand, with ``padding`` bytes behind each row."""
    ordered = np.ascontiguousarray(image, image.dtype.newbyteorder(">" if big_endian else "<"))
    height, width = image.shape[:2]
    rows = np.frombuffer(ordered.tobytes(), np.uint8).reshape(height, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    message = Image(height=height, width=width, encoding=encoding, is_bigendian=int(big_endian), step=padded.shape[1])
    message.data.frombytes(padded.tobytes())
    return message


@pytest.mark.parametrize("encoding", TYPES)
def test_round_trip_keeps_every_bit(encoding: str) -> None:
    image = random_image(*TYPES[encoding])
    header = Header(frame_id="camera")
    message = CvBridge().cv2_to_imgmsg(image, encoding, header)
    assert (message.height, message.width) == image.shape[:2]
    assert message.encoding == encoding
    assert message.header.frame_id == "camera"
    assert message.step == image.nbytes // image.shape[0]
    assert message.is_bigendian == (sys.byteorder == "big")
    back = CvBridge().imgmsg_to_cv2(message)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize("encoding", ["mono8", "bgr8", "16UC1", "32FC1", "32FC3"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_rows_with_padding_and_both_byte_orders_are_read(encoding: str, big_endian: bool) -> None:
    if big_endian and np.lib.NumpyVersion(np.__version__) >= "2.0.0" and not is_fit_for_numpy_2():
        pytest.skip("this release of cv_bridge cannot swap bytes with numpy 2")
    image = random_image(*TYPES[encoding])
    pixel = image.dtype.itemsize * TYPES[encoding][1]
    message = message_of(image, encoding, padding=4 * pixel, big_endian=big_endian)
    np.testing.assert_array_equal(CvBridge().imgmsg_to_cv2(message), image)


def is_fit_for_numpy_2() -> bool:
    try:
        CvBridge().imgmsg_to_cv2(message_of(random_image("uint16", 1), "16UC1", big_endian=True))
    except AttributeError:
        return False
    return True


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("bgr8", "rgb8", "BGR2RGB"),
        ("bgr8", "mono8", "BGR2GRAY"),
        ("rgb8", "mono8", "RGB2GRAY"),
        ("rgba8", "bgr8", "RGBA2BGR"),
        ("bgra8", "mono8", "BGRA2GRAY"),
        ("mono8", "bgr8", "GRAY2BGR"),
        ("mono8", "rgba8", "GRAY2RGBA"),
        ("bayer_rggb8", "bgr8", "BayerBG2BGR"),
        ("bayer_bggr8", "rgb8", "BayerRG2RGB"),
        ("bayer_gbrg8", "mono8", "BayerGR2GRAY"),
        ("bayer_grbg16", "bgr16", "BayerGB2BGR"),
        ("yuv422", "rgb8", "YUV2RGB_UYVY"),
        ("yuv422_yuy2", "mono8", "YUV2GRAY_YUY2"),
    ],
)
def test_colours_are_converted_as_opencv_does(source: str, target: str, code: str) -> None:
    image = random_image(*TYPES.get(source, ("uint8", 1)))
    converted = CvBridge().imgmsg_to_cv2(message_of(image, source), target)
    expected = np.asarray(cv2.cvtColor(image, getattr(cv2, f"COLOR_{code}")))
    np.testing.assert_array_equal(converted, expected)


def test_a_red_pixel_stays_red() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    assert CvBridge().imgmsg_to_cv2(message_of(red, "rgb8"), "bgr8")[0, 0].tolist() == [0, 0, 200]
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[::2, ::2] = 200  # rggb: red sits at even rows and columns
    assert CvBridge().imgmsg_to_cv2(message_of(mosaic, "bayer_rggb8"), "rgb8")[4, 4].tolist() == [200, 0, 0]


def test_depths_are_scaled_to_the_full_range() -> None:
    image = np.array([[0, 1, 255]], np.uint8)
    assert CvBridge().imgmsg_to_cv2(message_of(image, "mono8"), "mono16").tolist() == [[0, 257, 65535]]
    image = np.array([[0, 200, 40000, 65535]], np.uint16)
    assert CvBridge().imgmsg_to_cv2(message_of(image, "mono16"), "mono8").tolist() == [[0, 1, 156, 255]]
    image = np.array([[0.4, 1.6, 300.0, -5.0]], np.float32)
    assert CvBridge().imgmsg_to_cv2(message_of(image, "32FC1"), "8UC1").tolist() == [[0, 2, 255, 0]]


@pytest.mark.parametrize(
    ("source", "target"),
    [("32FC1", "bgr8"), ("bgr8", "32FC1"), ("mono8", "bayer_rggb8"), ("8UC3", "16UC1"), ("mono8", "no_such_name")],
)
def test_impossible_conversions_are_refused(source: str, target: str) -> None:
    with pytest.raises(CvBridgeError):
        CvBridge().imgmsg_to_cv2(message_of(random_image(*TYPES[source]), source), target)


def test_unknown_encodings_are_refused_by_name() -> None:
    message = message_of(random_image("uint8", 1), "mono8")
    message.encoding = "no_such_name"
    with pytest.raises(CvBridgeError, match="no_such_name"):
        CvBridge().imgmsg_to_cv2(message)
    with pytest.raises(CvBridgeError, match="no_such_name"):
        CvBridge().encoding_to_cvtype2("no_such_name")


@pytest.mark.parametrize("missing", [1, 8, 48])
def test_too_little_data_is_refused(missing: int) -> None:
    message = message_of(random_image("uint8", 1), "mono8")
    del message.data[-missing:]
    with pytest.raises(TypeError):  # CvBridgeError is one
        CvBridge().imgmsg_to_cv2(message)


def test_a_header_that_promises_more_than_memory_holds_is_refused() -> None:
    message = message_of(random_image("uint8", 1), "mono8")
    message.height, message.width, message.step = 2**31, 2**31, 2**31
    with pytest.raises((TypeError, ValueError)):
        CvBridge().imgmsg_to_cv2(message)


def test_a_row_that_is_too_short_never_gives_an_image_of_full_width() -> None:
    message = message_of(random_image("uint8", 1), "mono8")
    message.step = 4
    try:
        image = CvBridge().imgmsg_to_cv2(message)
    except TypeError:
        return
    assert image.shape[1] < message.width


def test_images_that_do_not_fit_the_encoding_are_refused() -> None:
    with pytest.raises(CvBridgeError):
        CvBridge().cv2_to_imgmsg(random_image("uint8", 1), "bgr8")
    with pytest.raises(CvBridgeError):
        CvBridge().cv2_to_imgmsg(random_image("float32", 1), "16UC1")
    with pytest.raises(TypeError):
        CvBridge().cv2_to_imgmsg([[1, 2]], "mono8")  # type: ignore[arg-type]


def test_passthrough_names_the_type() -> None:
    names = {"uint8": "8UC1", "uint16": "16UC1", "float32": "32FC1"}
    for dtype, name in names.items():
        assert CvBridge().cv2_to_imgmsg(random_image(dtype, 1)).encoding == name
    assert CvBridge().cv2_to_imgmsg(random_image("uint8", 3)).encoding == "8UC3"


def test_parts_of_larger_arrays_are_written_without_their_neighbours() -> None:
    whole = random_image("uint8", 3, height=8, width=10)
    message = CvBridge().cv2_to_imgmsg(whole[1:6, 2:9], "bgr8")
    assert message.step == 7 * 3
    np.testing.assert_array_equal(CvBridge().imgmsg_to_cv2(message), whole[1:6, 2:9])


def test_types_by_encoding() -> None:
    bridge = CvBridge()
    assert bridge.encoding_to_dtype_with_channels("bgr8") == ("uint8", 3)
    assert bridge.encoding_to_dtype_with_channels("32FC1") == ("float32", 1)
    assert bridge.dtype_with_channels_to_cvtype2(np.dtype("uint16"), 1) == "16UC1"
    assert bridge.encoding_to_cvtype2("8UC3") == cv2.CV_8UC3
    assert bridge.encoding_to_cvtype2("32FC1") == cv2.CV_32FC1


@pytest.mark.parametrize(("encoding", "file_type"), [("bgr8", "png"), ("mono8", "png"), ("bgr8", "jpg")])
def test_compressed_images(encoding: str, file_type: str) -> None:
    dtype, channels = TYPES[encoding]
    image = cv2.GaussianBlur(random_image(dtype, channels, 32, 48), (9, 9), 3)
    message = CvBridge().cv2_to_compressed_imgmsg(image, file_type)
    assert message.format == file_type
    back = CvBridge().compressed_imgmsg_to_cv2(message)
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).max() <= (0 if file_type == "png" else 12)


def test_compressed_colour_is_converted() -> None:
    image = random_image("uint8", 3)
    message = CvBridge().cv2_to_compressed_imgmsg(image, "png")
    np.testing.assert_array_equal(CvBridge().compressed_imgmsg_to_cv2(message, "rgb8"), image[..., ::-1])


def test_compressed_rubbish_is_never_an_image() -> None:
    message = CompressedImage(format="png")
    message.data.frombytes(b"not an image at all")
    try:
        image = CvBridge().compressed_imgmsg_to_cv2(message)
    except (CvBridgeError, cv2.error):
        return
    assert image is None


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(TYPES)), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3), st.integers(0, 2**32 - 1)
)
def test_any_size_and_padding_is_read_as_written(
    encoding: str, height: int, width: int, padding: int, seed: int
) -> None:
    dtype, channels = TYPES[encoding]
    image = random_image(dtype, channels, height, width, seed)
    message = message_of(image, encoding, padding=padding * image.dtype.itemsize * channels)
    np.testing.assert_array_equal(CvBridge().imgmsg_to_cv2(message), image)
