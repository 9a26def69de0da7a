"""Bags that are damaged, unclosed, without metadata or in parts: readable messages are read, otherwise the remedy is
given."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import BASELINE, make_image, projection

from occdepth_ros.errors import SourceError
from occdepth_ros.sources import open_source
from occdepth_ros.sources.bags.reader import is_bag, parts_of
from occdepth_ros.sources.bags.recovery import RecoveredBag

pytest.importorskip("rosbags", reason="no rosbags: bags cannot be read")
from helpers.bags import START, Recorder
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

LEFT, RIGHT = "/left/image_rect", "/right/image_rect"


def record(bag: Recorder, frames: range = range(6)) -> None:
    for i in frames:
        stamp = START + i * 100_000_000
        for side, topic, x in (("left", LEFT, 0.0), ("right", RIGHT, -BASELINE)):
            bag.info(f"/{side}/camera_info", projection(x), stamp)
            bag.image(topic, make_image(i + 100 * (x != 0)), stamp, "camera")


def recorded(tmp_path: Path, kind: str) -> Path:
    """One bag file."""
    if kind == "ros1":
        with Recorder(tmp_path / "drive.bag", "ros1") as bag:
            record(bag)
        return tmp_path / "drive.bag"
    with Recorder(tmp_path / "drive", kind) as bag:
        record(bag)
    return next(file for file in (tmp_path / "drive").iterdir() if file.suffix != ".yaml")


def check(path: Path, count: int, *warnings: str) -> None:
    source = open_source(path)
    assert len(source) == count
    for i in (count - 1, 0):
        np.testing.assert_array_equal(source[i].left, make_image(i))
        np.testing.assert_array_equal(source[i].right, make_image(100 + i))
    found = [warning.name for warning in source.description.warnings]
    assert [name for name in found if name != "no_tf"] == list(warnings)


def expect(path: Path, *words: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("kind", ["ros1", "mcap"])
@pytest.mark.parametrize("kept", [0.4, 0.75, 0.99])
def test_a_cut_file_is_read_up_to_the_cut(tmp_path: Path, kind: str, kept: float) -> None:
    path = recorded(tmp_path, kind)
    contents = path.read_bytes()
    path.write_bytes(contents[: int(kept * len(contents))])
    source = open_source(path)
    assert int(6 * kept) - 1 <= len(source) <= 6
    np.testing.assert_array_equal(source[0].left, make_image(0))
    warning = source.description.warnings[0]
    assert warning.name == "bag_incomplete"
    assert {"ros1": "rosbag reindex", "mcap": "mcap recover"}[kind] in str(warning)


def test_a_cut_sqlite_file_names_the_remedy(tmp_path: Path) -> None:
    path = recorded(tmp_path, "sqlite3")
    path.write_bytes(path.read_bytes()[:5000])
    expect(path, "cannot be read", ".recover")


def test_messages_in_a_write_ahead_log_are_named(tmp_path: Path) -> None:
    path = recorded(tmp_path, "sqlite3")
    (path.parent / "metadata.yaml").unlink()
    path.with_name(f"{path.name}-wal").write_bytes(b"\0" * 4096)
    source = open_source(path.parent)
    assert "wal_checkpoint" in str([w for w in source.description.warnings if w.name == "bag_incomplete"])


@pytest.mark.parametrize("kind", ["ros1", "mcap"])
def test_any_damage_leaves_messages_or_an_error(tmp_path: Path, kind: str) -> None:
    path = recorded(tmp_path, kind)
    contents = path.read_bytes()
    whole = {data for _, _, data in RecoveredBag(path).messages()}
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = np.frombuffer(contents, np.uint8).copy()
        start = rng.integers(len(damaged))
        damaged[start : start + rng.integers(1, 400)] = rng.integers(0, 256)
        path.write_bytes(damaged[: rng.integers(len(damaged) // 2, len(damaged) + 1)].tobytes())
        try:
            found = list(RecoveredBag(path).messages())
        except ValueError:
            continue
        assert len(found) <= 24
        assert sum(data in whole for _, _, data in found) >= len(found) - 2


@pytest.mark.parametrize("kind", ["mcap", "sqlite3", "ros1"])
def test_an_empty_file_names_the_remedy(tmp_path: Path, kind: str) -> None:
    path = recorded(tmp_path, kind)
    path.write_bytes(b"")
    expect(
        path, "cannot be read", {"ros1": "rosbag reindex", "mcap": "mcap recover", "sqlite3": "ros2 bag reindex"}[kind]
    )


def test_an_unclosed_ros_1_bag_is_read(tmp_path: Path) -> None:
    """While recording, rosbag writes NAME.bag.active, whose header has no position of the index."""
    path = recorded(tmp_path, "ros1")
    contents = path.read_bytes()
    at = contents.index(b"index_pos=") + len(b"index_pos=")
    index = int.from_bytes(contents[at : at + 8], "little")
    active = path.with_name("drive.bag.active")
    active.write_bytes(contents[:at] + bytes(8) + contents[at + 8 : index])
    path.unlink()
    check(active, 6, "bag_incomplete")
    check(tmp_path, 6, "bag_metadata", "bag_incomplete")


@pytest.mark.parametrize("compression", ["BZ2", "LZ4"])
def test_a_compressed_ros_1_bag_is_read_without_its_index(tmp_path: Path, compression: str) -> None:
    plain, packed = Recorder(tmp_path / "plain.bag", "ros1"), Recorder(tmp_path / "packed.bag", "ros1")
    packed.writer.set_compression(Writer1.CompressionFormat[compression])
    for bag in (plain, packed):
        with bag:
            record(bag)
    messages = [list(RecoveredBag(tmp_path / name).messages()) for name in ("plain.bag", "packed.bag")]
    assert messages[0] == messages[1] and len(messages[0]) == 24
    assert {c.msgtype for c, _, _ in messages[0]} == {"sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"}


def mcap_record(opcode: int, content: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(content)) + content


def mcap_text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()


def test_an_mcap_file_with_messages_of_ros_1_is_read(tmp_path: Path) -> None:
    source = RecoveredBag(recorded(tmp_path, "ros1"))
    content = b"\x89MCAP0\r\n" + mcap_record(1, mcap_text("ros1") + mcap_text("test"))
    for connection in source.connections:
        name = connection.msgtype.replace("/msg/", "/")
        schema = struct.pack("<H", connection.id + 1) + mcap_text(name) + mcap_text("ros1msg") + mcap_text("")
        channel = struct.pack("<HH", connection.id, connection.id + 1) + mcap_text(connection.topic)
        content += mcap_record(3, schema) + mcap_record(4, channel + mcap_text("ros1") + struct.pack("<I", 0))
    for connection, time, data in source.messages():
        content += mcap_record(5, struct.pack("<HIQQ", connection.id, 0, time, time) + data)
    (tmp_path / "converted.mcap").write_bytes(content)
    check(tmp_path / "converted.mcap", 6, "bag_incomplete")


@pytest.mark.parametrize("name", ["drive.BAG", "Drive.Bag"])
def test_upper_case_suffixes_are_bags(tmp_path: Path, name: str) -> None:
    path = recorded(tmp_path, "ros1")
    check(path.rename(tmp_path / name), 6)


@pytest.mark.parametrize("kind", ["mcap", "sqlite3"])
def test_a_folder_without_metadata_is_read(tmp_path: Path, kind: str) -> None:
    folder = recorded(tmp_path, kind).parent
    (folder / "metadata.yaml").unlink()
    check(folder, 6, "bag_metadata")


@pytest.mark.parametrize("kind", ["mcap", "sqlite3"])
@pytest.mark.parametrize("text", ["empty id", "[]", "{", "missing file"])
def test_metadata_that_cannot_be_used_is_replaced_by_the_files(tmp_path: Path, kind: str, text: str) -> None:
    file = recorded(tmp_path, kind)
    metadata = file.parent / "metadata.yaml"
    if text == "empty id":
        text = metadata.read_text().replace(f"storage_identifier: {kind}", 'storage_identifier: ""')
        assert '""' in text
    elif text == "missing file":
        text = metadata.read_text().replace(file.name, "drive_9.mcap")
    metadata.write_text(text)
    check(file.parent, 6, "bag_metadata")


@pytest.mark.parametrize("kind", ["mcap", "sqlite3", "ros1"])
def test_parts_of_one_recording_are_read_in_order(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "drive"
    folder.mkdir()
    # the eleventh part comes after the second
    for number, frames in ((2, range(3)), (11, range(3, 6))):
        place = tmp_path / f"part{number}{'.bag' if kind == 'ros1' else ''}"
        with Recorder(place, kind) as bag:
            record(bag, frames)
        file = place if kind == "ros1" else next(f for f in place.iterdir() if f.suffix != ".yaml")
        shutil.move(file, folder / f"drive_{number}{file.suffix}")
    assert [file.stem for file in parts_of(folder)] == ["drive_2", "drive_11"]
    check(folder, 6, "bag_incomplete", "bag_metadata")


def test_a_folder_with_several_recordings_is_not_one_bag(tmp_path: Path) -> None:
    path = recorded(tmp_path, "ros1")
    shutil.copy(path, tmp_path / "other.bag")
    assert not is_bag(tmp_path)
    expect(tmp_path, "Give one recording", "drive.bag")


def test_types_that_are_not_needed_are_not_parsed(tmp_path: Path) -> None:
    """Services are recorded on topics `_service_event`, whose definitions rosbags cannot parse."""
    with Recorder(tmp_path / "drive", "mcap") as bag:
        record(bag)
        connection = bag.writer.add_connection(
            "/node/get_state/_service_event",
            "lifecycle_msgs/srv/GetState_Event",
            msgdef="?\n=== no definition",
            rihs01="RIHS01_0",
        )
        bag.writer.write(connection, START, b"\0\1\0\0")
    check(tmp_path / "drive", 6)


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE, CompressionMode.STORAGE])
def test_compressed_rosbag2_recordings_are_read(tmp_path: Path, mode: CompressionMode) -> None:
    bag = Recorder(tmp_path / "drive", "mcap")
    bag.writer.set_compression(mode, CompressionFormat.ZSTD)
    with bag:
        record(bag)
    check(tmp_path / "drive", 6)


def test_a_damaged_chunk_costs_only_its_own_messages(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "drive", "mcap")
    bag.writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with bag:
        record(bag, range(60))
    file = next((tmp_path / "drive").glob("*.mcap"))
    contents = bytearray(file.read_bytes())
    chunks = [found.start() for found in re.finditer(rb"\x28\xb5\x2f\xfd", contents)]
    assert len(chunks) >= 3
    middle = chunks[len(chunks) // 2]
    contents[middle : middle + 8] = bytes(8)
    file.write_bytes(contents)
    source = open_source(tmp_path / "drive")
    assert 10 < len(source) < 60
    assert "bag_incomplete" in [warning.name for warning in source.description.warnings]
