"""Image and text files of recordings: sizes, samples, and every kind of invalid file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from occdepth_ros.errors import ImageError, SourceError
from occdepth_ros.sources.images import (
    contents_size,
    decode,
    exif_orientation,
    header_size,
    image_size,
    list_images,
    read_image,
    read_levels,
)
from occdepth_ros.sources.tables import read_text

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def png(path: Path, samples: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), samples)
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_levels_are_read_as_they_are_stored(tmp_path: Path, kind: type) -> None:
    samples = np.arange(12, dtype=kind).reshape(3, 4) * kind(20)
    levels = read_levels(png(tmp_path / "a.png", samples), (4, 3))
    assert levels.dtype == np.uint16
    np.testing.assert_array_equal(levels, samples)


def test_levels_of_another_size_or_with_colours_are_refused(tmp_path: Path) -> None:
    grey = png(tmp_path / "grey.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(ImageError, match="the image is 4x3, not 8x3"):
        read_levels(grey, (8, 3))
    with pytest.raises(ImageError, match="one channel"):
        read_levels(png(tmp_path / "colours.png", np.zeros((3, 4, 3), np.uint8)), (4, 3))


def test_an_image_of_another_size_than_its_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the image is 4x3, calibration and first image have 5x3"):
        read_image(png(tmp_path / "a.png", np.zeros((3, 4), np.uint8)), (5, 3))


def test_the_header_states_the_size_without_the_rest_of_the_file(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8))
    cut = tmp_path / "cut.png"
    cut.write_bytes(path.read_bytes()[:200])
    assert header_size(cut) == (80, 60) == contents_size(cut.read_bytes())
    with pytest.raises(ImageError, match="damaged or cut off"):
        image_size(cut)
    assert contents_size(b"no image") is None
    text = tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(ImageError, match="not PNG, JPEG"):
        header_size(text)
    with pytest.raises(ImageError, match="cannot be read"):
        header_size(tmp_path / "absent.png")


def test_the_orientation_of_exif_is_read_and_absent_data_mean_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert exif_orientation(tmp_path / "turned.jpg") == 6
    assert exif_orientation(png(tmp_path / "a.png", np.zeros((3, 4), np.uint8))) == 1
    (tmp_path / "b.png").write_text("no image")
    assert exif_orientation(tmp_path / "b.png") == 1


@pytest.mark.parametrize(
    ("contents", "text"),
    [(b"", "empty"), (LFS, "Git LFS pointer"), (b"GIF89a", "not PNG, JPEG"), (b"BM", "damaged or cut off")],
)
def test_files_that_are_no_images_are_named(tmp_path: Path, contents: bytes, text: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(contents)
    with pytest.raises(ImageError, match=text):
        image_size(path)


def test_a_header_with_a_size_that_no_camera_has_is_refused() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    contents = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="claims to be 1048576x1048576"):
        decode(contents, "a.png")


def test_samples_that_are_not_integers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.fromarray(np.zeros((3, 4), np.float32)).save(path)
    with pytest.raises(ImageError, match="float32, not 8 or 16 bits"):
        read_image(path, (4, 3))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 5000), suffix=st.sampled_from([".png", ".jpg", ".bmp", ".tiff", ".ppm"]))
def test_a_file_that_was_cut_off_is_refused_or_decoded_to_its_size(tmp_path: Path, cut: int, suffix: str) -> None:
    done, buffer = cv2.imencode(suffix, np.random.default_rng(1).integers(0, 255, (24, 32, 3), np.uint8))
    assert done
    try:
        image, grey = decode(buffer.tobytes()[:cut], "file")
    except ImageError:
        return
    assert image.shape == (24, 32, 3) and not grey


def test_two_files_of_one_frame_are_refused_and_hidden_files_ignored(tmp_path: Path) -> None:
    png(tmp_path / "000000.png", np.zeros((3, 4), np.uint8))
    (tmp_path / "._000000.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    assert list(list_images(tmp_path)) == ["000000"]
    Image.new("RGB", (8, 4)).save(tmp_path / "000000.jpg")
    with pytest.raises(ImageError, match=r"000000\.jpg and 000000\.png are the same frame"):
        list_images(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_files_may_have_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "calib.txt").write_bytes("P2: 1 2 3\n".encode(encoding))
    assert read_text(tmp_path / "calib.txt") == "P2: 1 2 3\n"


def test_text_files_that_are_none_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "calib.txt"
    with pytest.raises(SourceError, match="cannot be read"):
        read_text(path)
    path.write_bytes(LFS)
    with pytest.raises(SourceError, match="Git LFS pointer"):
        read_text(path)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SourceError, match="not text"):
        read_text(path)
    monkeypatch.setattr("occdepth_ros.sources.tables._MAX_BYTES", 2)
    with pytest.raises(SourceError, match="larger than"):
        read_text(path)
