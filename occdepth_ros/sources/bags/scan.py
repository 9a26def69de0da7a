"""One pass over a bag that collects calibrations, transforms, and the positions of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from occdepth_ros.errors import CalibrationError, InputWarning
from occdepth_ros.sources.bags.reader import BagReader
from occdepth_ros.sources.bags.rig import Recording
from occdepth_ros.sources.bags.tf import TransformTree
from occdepth_ros.sources.bags.topics import INFO_TYPE, StereoTopics, canonical
from occdepth_ros.sources.encodings import size_of
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration

JUMP_BACK_NS = 1_000_000_000
"""Smallest backward step of the stamps that is reported, nanoseconds."""
STAMP_END = 12
"""Byte offset of the end of header.stamp in a serialised message."""
_TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")


@dataclass(frozen=True)
class ImagePlace:
    """Position of an image in the bag, and its size if the header of the message is readable."""

    bag_ns: int
    stamp_ns: int
    size: tuple[int, int] | None
    is_unstamped: bool = False


@dataclass(frozen=True)
class Scan:
    """Result of `scan`.

    Args:
        recording: calibrations, transforms and frames.
        places: images by topic, in the order of recording.
        damaged: number of messages by topic that do not fit their type and are left out.
        counts: number of messages by topic that the index or metadata.yaml states, and that were read.
    """

    recording: Recording
    places: dict[str, list[ImagePlace]]
    damaged: dict[str, int]
    counts: dict[str, tuple[int, int]]

    @property
    def is_empty(self) -> bool:
        """Whether no message was read."""
        return not any(read for _, read in self.counts.values())

    def warnings(self, topics: StereoTopics) -> list[InputWarning]:
        """Return the warnings about the messages of one pair of topics, and about unreadable messages."""
        return [*_clock_warnings(self.places, topics), *_damage_warnings(self.damaged), *self._missing(topics)]

    def _missing(self, topics: StereoTopics) -> list[InputWarning]:
        """Warn if messages that the recording states are not in its files."""
        return [
            InputWarning(
                "bag_incomplete",
                f"{stated} messages were recorded, {read} are in the files",
                topic,
                "Copy all files of the recording, with `-wal` files beside .db3 files.",
            )
            for topic in (topics.left, topics.right)
            for stated, read in [self.counts.get(topic, (0, 0))]
            if read < stated
        ]


def scan(reader: BagReader, kinds: Mapping[str, str], candidates: Sequence[StereoTopics], name: str) -> Scan:
    """Read the bag once: calibrations, transforms, and the positions of the images of all candidates.

    Args:
        reader: the bag.
        kinds: message type by topic.
        candidates: topics of the stereo pairs.
        name: the bag's name, for error texts.
    """
    tree = TransformTree()
    infos: dict[str, CameraCalibration] = {}
    failed: dict[str, CalibrationError] = {}
    raw_infos: dict[str, bytes] = {}
    changed: dict[str, int] = {}
    frames: dict[str, str] = {}
    places: dict[str, list[ImagePlace]] = {topic: [] for c in candidates for topic in (c.left, c.right)}
    sides = {topic for c in candidates for topic in (c.left_info, c.right_info)}
    transforms = {topic for topic, kind in kinds.items() if kind in _TF_TYPES}
    damaged: dict[str, int] = {}
    read: dict[str, int] = {}
    requested = [
        c
        for c in reader.connections
        if canonical(c.topic) in places
        or (canonical(c.topic) in sides and kinds[c.topic] == INFO_TYPE)
        or c.topic in transforms
    ]
    for connection, bag_ns, data in reader.messages(requested):
        topic = canonical(connection.topic)
        read[topic] = read.get(topic, 0) + 1
        is_repeated = topic in raw_infos
        try:
            needed = not is_repeated or (data[STAMP_END:] != raw_infos[topic] and topic not in changed)
            message: Any = reader.deserialize(data, connection.msgtype) if needed else None
            stamp = stamp_of(data) if topic in places else 0
        except Exception:  # rosbags raises various exceptions for a message that does not fit its type
            damaged[connection.topic] = damaged.get(connection.topic, 0) + 1
            continue
        if topic in places:
            # a recording that starts at 0 s has an image with this stamp, too
            places[topic].append(ImagePlace(bag_ns, stamp or bag_ns, size_of(message), stamp == 0 != bag_ns))
            frames.setdefault(topic, message.header.frame_id)
        elif connection.topic in transforms:
            for entry in message.transforms:
                t, q, stamp = entry.transform.translation, entry.transform.rotation, entry.header.stamp
                row = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
                tree.add(entry.header.frame_id, entry.child_frame_id, _nanoseconds(stamp), row)
        elif is_repeated:
            # equal messages may have different bytes: CDR leaves the padding undefined
            if message is not None and not _is_calibration(message, infos[topic]):
                changed[topic] = bag_ns
        else:
            try:
                infos[topic] = CameraCalibration.from_message(message, f"{name} {topic}")
            except CalibrationError as error:
                # a driver may publish zeros until it has loaded its calibration
                failed.setdefault(topic, error)
                continue
            raw_infos[topic] = bytes(data[STAMP_END:])
    start = min((place.stamp_ns for found in places.values() for place in found[:1]), default=0)
    stated: dict[str, int] = {}
    for c in requested:
        stated[canonical(c.topic)] = stated.get(canonical(c.topic), 0) + int(getattr(c, "msgcount", 0) or 0)
    counts = {topic: (count, read.get(topic, 0)) for topic, count in stated.items()}
    return Scan(Recording(infos, frames, tree, start, failed, changed), places, damaged, counts)


def stamp_of(data: bytes) -> int:
    """Return `header.stamp` of a serialised message, nanoseconds; it comes first, after 4 bytes in CDR and in ROS 1."""
    at = np.frombuffer(data, "<u4", 2, 4)
    return int(at[0]) * 1_000_000_000 + int(at[1])


def _is_calibration(message: Any, calibration: CameraCalibration) -> bool:
    """Return True if a CameraInfo message contains this calibration."""
    try:
        return CameraCalibration.from_message(message, calibration.where).equals(calibration)
    except CalibrationError:
        return False


def _damage_warnings(damaged: Mapping[str, int]) -> list[InputWarning]:
    """Warn about messages that do not fit their type."""
    remedy = "They are left out; `ros2 bag info` and a copy of the recording show whether the file is damaged."
    return [
        InputWarning("damaged_messages", f"{count} messages cannot be read", topic, remedy)
        for topic, count in damaged.items()
    ]


def _clock_warnings(places: Mapping[str, Sequence[ImagePlace]], topics: StereoTopics) -> list[InputWarning]:
    """Warn if stamps go back in the order of recording, or if images have no stamp."""
    warnings = []
    for topic in (topics.left, topics.right):
        stamps = np.array([place.stamp_ns for place in places[topic]], np.int64)
        back = np.flatnonzero(np.diff(stamps) < -JUMP_BACK_NS)
        if len(back):
            seconds = float(stamps[back[0]] - stamps[back[0] + 1]) * 1e-9
            text = f"the stamps go back by {seconds:.1f} s after image {int(back[0])}: pairs are ordered by stamp"
            remedy = "A clock was set, or two recordings were joined: split the bag there."
            warnings.append(InputWarning("clock_jump", text, topic, remedy))
        unstamped = sum(place.is_unstamped for place in places[topic])
        if unstamped:
            text = f"{unstamped} of {len(stamps)} images have no stamp: their times of recording are used"
            remedy = "Configure the driver to stamp its images."
            warnings.append(InputWarning("no_stamp", text, topic, remedy))
    return warnings


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
