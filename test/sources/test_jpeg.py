"""Damage inside the compressed data of JPEG files, which decoders accept with a warning at most."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from occdepth_ros.errors import ImageError
from occdepth_ros.sources import jpeg as check
from occdepth_ros.sources.images import decode, read_image
from occdepth_ros.sources.jpeg import is_intact


def textured(width: int, height: int, mode: str = "RGB") -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(np.asarray(cv2.GaussianBlur(levels, (5, 5), 0))).convert(mode)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


SIZES = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(
    SIZES,
    SIZES,
    st.sampled_from(["RGB", "L", "CMYK"]),
    st.sampled_from([{}, {"restart_marker_blocks": 3}, {"optimize": True}, {"progressive": True}]),
    st.integers(1, 100),
    st.integers(0, 2),
)
def test_every_encoded_image_is_intact(
    width: int, height: int, mode: str, options: dict[str, Any], quality: int, subsampling: int
) -> None:
    contents = jpeg(textured(width, height, mode), quality=quality, subsampling=subsampling, **options)
    assert is_intact(contents) and is_intact(contents + bytes(50))


def test_frames_of_cameras_are_intact() -> None:
    """Frames without tables, as of Motion JPEG, and data that are padded with zeros; decoders accept both."""
    contents = jpeg(textured(64, 48), quality=75)
    at = contents.index(b"\xff\xc4")
    without = contents
    while at >= 0:
        length = int.from_bytes(without[at + 2 : at + 4], "big")
        without = without[:at] + without[at + 2 + length :]
        at = without.find(b"\xff\xc4")
    padded = contents[:-2] + bytes(13) + b"\xff\xd9"
    for frame in (without, padded):
        assert cv2.imdecode(np.frombuffer(frame, np.uint8), 1) is not None
        assert is_intact(frame)
    assert not is_intact(contents[:-2] + b"\x01" * 13 + b"\xff\xd9"), "more data than blocks"


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 7}])
@pytest.mark.parametrize("kept", ["zeros", "end"])
def test_lost_data_are_an_error(tmp_path: Path, options: dict[str, int], kept: str) -> None:
    contents = jpeg(textured(160, 96), quality=90, **options)
    middle = len(contents) // 2
    rest = bytes(200) + contents[middle + 200 :] if kept == "zeros" else b"\xff\xd9"
    assert cv2.imdecode(np.frombuffer(contents[:middle] + rest, np.uint8), 1) is not None, "a decoder accepts it"
    path = tmp_path / "a.jpg"
    path.write_bytes(contents[:middle] + rest)
    with pytest.raises(ImageError, match="damaged"):
        read_image(path, (160, 96))
    path.write_bytes(contents)
    assert read_image(path, (160, 96))[0].shape == (96, 160, 3)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from([{}, {"restart_marker_blocks": 3}, {"optimize": True}]))
def test_several_coefficients_at_once_are_checked_as_single_ones(data: st.DataObject, options: dict[str, Any]) -> None:
    contents = bytearray(jpeg(textured(40, 24), quality=data.draw(st.integers(30, 100)), **options))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(contents.index(b"\xff\xda"), len(contents) - 1))
        contents[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "_steps_of", np.zeros_like)
        check._tables_of.cache_clear()
        singly = is_intact(bytes(contents))
        check._tables_of.cache_clear()
    assert is_intact(bytes(contents)) == singly


def test_tables_belong_to_their_own_file() -> None:
    first, second = (jpeg(textured(64, 48), quality=quality, optimize=True) for quality in (30, 95))
    start = [contents.index(b"\xff\xda") for contents in (first, second)]
    assert is_intact(first) and is_intact(second) and is_intact(first)
    assert not is_intact(second[: start[1]] + first[start[0] :])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_are_decoded_or_an_error(data: st.DataObject) -> None:
    contents = bytearray(jpeg(textured(40, 24), quality=75))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(2, len(contents) - 1))
        contents[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        assert decode(bytes(contents), "a.jpg")[0].dtype == np.uint8
    except ImageError as error:
        assert "a.jpg" in str(error)
