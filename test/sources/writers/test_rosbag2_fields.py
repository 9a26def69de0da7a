"""Fields that rosbag2 reads before it plays a recording.

The names and types are those that `rosbag2_storage/yaml.hpp` and `qos.cpp` decode for metadata version 9 and that
`rosbag2_storage_mcap` reads from the file (branch jazzy, 64717ee8); records and opcodes are those of the MCAP
specification.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.sequences import kitti_odometry

from occdepth_ros.sources.layouts.kitti_odometry import open_kitti_odometry
from occdepth_ros.sources.writers.bag import write_bag

MAGIC = b"\x89MCAP0\r\n"
HEADER, CHANNEL, STATISTICS, METADATA = 0x01, 0x04, 0x0B, 0x0C
INFINITE = {"sec": 0x7FFFFFFF, "nsec": 0xFFFFFFFF}
"""Replaced by RMW_DURATION_INFINITE when rosbag2 reads it."""


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bag")
    source = open_kitti_odometry(kitti_odometry(folder / "00", 2))
    write_bag(folder / "bag", source, [source[0], source[1]])
    return folder / "bag"


@pytest.fixture(scope="module")
def about(bag: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    return content


def records(file: Path) -> list[tuple[int, bytes]]:
    """Opcode and content of the records outside chunks."""
    data = file.read_bytes()
    assert data.startswith(MAGIC) and data.endswith(MAGIC)
    found, at = [], len(MAGIC)
    while at < len(data) - len(MAGIC):
        opcode, size = struct.unpack_from("<BQ", data, at)
        found.append((opcode, data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def text_at(content: bytes, at: int) -> tuple[str, int]:
    """Return a string with its length before it, and the position after it."""
    (size,) = struct.unpack_from("<I", content, at)
    return content[at + 4 : at + 4 + size].decode(), at + 4 + size


def map_at(content: bytes, at: int) -> dict[str, str]:
    (size,) = struct.unpack_from("<I", content, at)
    end, at, found = at + 4 + size, at + 4, {}
    while at < end:
        key, at = text_at(content, at)
        found[key], at = text_at(content, at)
    return found


def test_the_metadata_has_the_fields_and_types_of_version_9(about: dict[str, Any]) -> None:
    assert (about["version"], about["storage_identifier"]) == (9, "mcap")
    assert (about["compression_format"], about["compression_mode"]) == ("", "")
    assert isinstance(about["ros_distro"], str)
    assert not about["custom_data"]
    assert about["duration"]["nanoseconds"] >= 0 and about["starting_time"]["nanoseconds_since_epoch"] >= 0
    (file,) = about["files"]
    assert [file["path"]] == about["relative_file_paths"]
    assert file["duration"] == about["duration"] and file["starting_time"] == about["starting_time"]
    counts = [topic["message_count"] for topic in about["topics_with_message_count"]]
    assert sum(counts) == about["message_count"] == file["message_count"] > 0


def test_profiles_are_those_that_the_player_offers(about: dict[str, Any]) -> None:
    for topic in about["topics_with_message_count"]:
        metadata = topic["topic_metadata"]
        assert metadata["serialization_format"] == "cdr"
        (profile,) = metadata["offered_qos_profiles"]
        latched = metadata["name"] == "/tf_static"
        assert profile == {
            "history": "keep_last",
            "depth": 1 if latched else 10,
            "reliability": "reliable",
            "durability": "transient_local" if latched else "volatile",
            "deadline": INFINITE,
            "lifespan": INFINITE,
            "liveliness": "automatic",
            "liveliness_lease_duration": INFINITE,
            "avoid_ros_namespace_conventions": False,
        }


@pytest.mark.ros
def test_type_hashes_are_those_of_ros(about: dict[str, Any]) -> None:
    index = pytest.importorskip("ament_index_python.packages", reason="ROS is not installed: run make env")
    for topic in about["topics_with_message_count"]:
        name, given = (topic["topic_metadata"][key] for key in ("type", "type_description_hash"))
        package, _, message = name.split("/")
        file = Path(index.get_package_share_directory(package)) / "msg" / f"{message}.json"
        hashes = json.loads(file.read_text(encoding="utf-8"))["type_hashes"]
        assert given == next(entry["hash_string"] for entry in hashes if entry["type_name"] == name), name


def test_the_storage_file_repeats_them(bag: Path, about: dict[str, Any]) -> None:
    found = records(bag / about["relative_file_paths"][0])
    assert text_at(next(content for opcode, content in found if opcode == HEADER), 0)[0] == "ros2"
    # the reader fails without statistics
    (statistics,) = [content for opcode, content in found if opcode == STATISTICS]
    assert struct.unpack_from("<Q", statistics)[0] == about["message_count"]
    (metadata,) = [content for opcode, content in found if opcode == METADATA]
    name, at = text_at(metadata, 0)
    assert name == "rosbag2"
    assert yaml.safe_load(map_at(metadata, at)["serialized_metadata"]) == about
    profiles = {}
    for content in (content for opcode, content in found if opcode == CHANNEL):
        topic, at = text_at(content, 4)
        encoding, at = text_at(content, at)
        assert encoding == "cdr"
        profiles[topic] = yaml.safe_load(map_at(content, at)["offered_qos_profiles"])
    assert profiles == {
        topic["topic_metadata"]["name"]: topic["topic_metadata"]["offered_qos_profiles"]
        for topic in about["topics_with_message_count"]
    }
