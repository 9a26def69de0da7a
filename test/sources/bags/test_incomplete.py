"""Recordings of which messages, parts, indexes or metadata are missing: what is there is read, the rest is named."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import BASELINE, make_image, projection

from occdepth_ros.errors import InputWarning, SourceError
from occdepth_ros.sources import open_source

pytest.importorskip("rosbags", reason="no rosbags: bags cannot be read")
from helpers.bags import START, Recorder
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader

TOPICS = {"left": ("/left/image_rect", 0.0), "right": ("/right/image_rect", -BASELINE)}


def record(folder: Path, kind: str, frames: range = range(4), *, compressed: CompressionMode | None = None) -> Path:
    """A rosbag2 folder; returns its storage file."""
    bag = Recorder(folder, kind)
    if compressed is not None:
        bag.writer.set_compression(compressed, CompressionFormat.ZSTD)
    with bag:
        for i in frames:
            stamp = START + i * 100_000_000
            for side, (topic, x) in TOPICS.items():
                bag.info(f"/{side}/camera_info", projection(x), stamp)
                bag.image(topic, make_image(i + 100 * (x != 0)), stamp, "camera")
    return next(file for file in folder.iterdir() if file.suffix != ".yaml")


def incomplete(path: Path, count: int) -> str:
    """The texts of the warnings about missing messages of a source with `count` pairs."""
    source = open_source(path)
    assert len(source) == count
    np.testing.assert_array_equal(source[count - 1].right, make_image(100 + count - 1))
    return " | ".join(str(warning) for warning in source.description.warnings if warning.name == "bag_incomplete")


def record_of(opcode: int, content: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(content)) + content


def text_of(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()


def test_an_mcap_file_without_an_index_of_messages_is_read(tmp_path: Path) -> None:
    """The specification permits chunks without message indexes beside a summary."""
    record(tmp_path / "bag", "mcap")
    heads, messages = b"", b""
    with Reader(tmp_path / "bag") as reader:
        for c in reader.connections:
            schema = struct.pack("<H", c.id) + text_of(c.msgtype) + text_of("ros2msg") + text_of("")
            channel = struct.pack("<HH", c.id, c.id) + text_of(c.topic) + text_of("cdr") + struct.pack("<I", 0)
            heads += record_of(3, schema) + record_of(4, channel)
        for c, time, data in reader.messages():
            messages += record_of(5, struct.pack("<HIQQ", c.id, 0, time, time) + data)
    inside = heads + messages
    times = struct.pack("<QQ", START, START + 10**9)
    chunk = record_of(
        6, times + struct.pack("<QI", len(inside), 0) + text_of("") + struct.pack("<Q", len(inside)) + inside
    )
    magic, begin = b"\x89MCAP0\r\n", record_of(1, text_of("ros2") + text_of("test"))
    before = magic + begin + chunk + record_of(15, struct.pack("<I", 0))
    place = struct.pack("<QQIQ", len(magic + begin), len(chunk), 0, 0) + text_of("")
    summary = heads + record_of(8, times + place + struct.pack("<QQ", len(inside), len(inside)))
    summary += record_of(11, struct.pack("<QHIIIIQQI", 16, 4, 0, 0, 0, 1, START, START + 10**9, 0))
    path = tmp_path / "drive.mcap"
    path.write_bytes(before + summary + record_of(2, struct.pack("<QQI", len(before), 0, 0)) + magic)
    assert "16 messages" in incomplete(path, 4)


@pytest.mark.parametrize("kind", ["mcap", "sqlite3"])
def test_compressed_messages_are_read_without_the_metadata_that_names_the_compression(
    tmp_path: Path, kind: str
) -> None:
    file = record(tmp_path / "bag", kind, compressed=CompressionMode.MESSAGE)
    (file.parent / "metadata.yaml").unlink()
    assert not incomplete(file.parent, 4)


def test_a_compressed_file_names_the_remedy(tmp_path: Path) -> None:
    file = record(tmp_path / "bag", "mcap", compressed=CompressionMode.FILE)
    with pytest.raises(SourceError, match="zstd -d"):
        open_source(file)
    (file.parent / "metadata.yaml").unlink()
    with pytest.raises(SourceError, match=r"Decompress.*metadata\.yaml"):
        open_source(file.parent)


@pytest.mark.parametrize("kind", ["mcap", "sqlite3"])
def test_a_path_may_have_characters_of_addresses(tmp_path: Path, kind: str) -> None:
    record(tmp_path / "bag", kind)
    folder = (tmp_path / "bag").rename(tmp_path / "run #3, 50%20 ü?")
    assert not incomplete(folder, 4)


def test_the_log_of_a_file_that_was_not_closed_is_named_beside_metadata(tmp_path: Path) -> None:
    file = record(tmp_path / "bag", "sqlite3")
    file.with_name(f"{file.name}-wal").write_bytes(b"\0" * 4096)
    assert "wal_checkpoint" in incomplete(file.parent, 4)


def test_messages_that_metadata_state_and_files_lack_are_counted(tmp_path: Path) -> None:
    file = record(tmp_path / "bag", "mcap")
    other = record(tmp_path / "other", "mcap", range(2))
    shutil.copy(other, file)
    assert "4 messages were recorded, 2 are in the files" in incomplete(file.parent, 2)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Three parts with two pairs each, without metadata."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for i in range(3):
        file = record(tmp_path / f"part{i}", "mcap", range(2 * i, 2 * i + 2))
        file.rename(folder / f"drive_{i}.mcap")
    return folder


def test_a_missing_part_is_named_by_its_number(parts: Path) -> None:
    (parts / "drive_1.mcap").unlink()
    source = open_source(parts)
    assert len(source) == 4
    assert "1 of 3 parts are missing: number 1" in str(source.description.warnings)


def test_an_empty_part_costs_its_own_pairs_only(parts: Path) -> None:
    (parts / "drive_1.mcap").write_bytes(b"")
    source = open_source(parts)
    assert len(source) == 4
    assert "drive_1.mcap: a part is left out" in " ".join(map(str, source.description.warnings))
    for part in parts.iterdir():
        part.write_bytes(b"")
    with pytest.raises(SourceError, match="cannot be read"):
        open_source(parts)


def test_images_stamped_by_another_clock_than_the_poses_of_the_vehicle_are_named(tmp_path: Path) -> None:
    level = np.array([0.5, -0.5, 0.5, -0.5])
    with Recorder(tmp_path / "bag", "mcap") as bag:
        bag.tf("/tf_static", START, "base_link", "camera", np.zeros(3), level)
        for i in range(4):
            later, stamp = START + i * 100_000_000, 5_000_000_000 + i * 100_000_000
            bag.tf("/tf", later, "odom", "base_link", np.array([i, 0.0, 0.0]), np.array([0, 0, 0, 1.0]))
            for side, (topic, x) in TOPICS.items():
                bag.info(f"/{side}/camera_info", projection(x), stamp)
                bag.image(topic, make_image(i + 100 * (x != 0)), stamp, "camera")
    found: list[InputWarning] = [w for w in open_source(tmp_path / "bag").description.warnings if w.name == "old_tf"]
    assert "4 of 4 pairs" in str(found) and "one clock" in str(found)
