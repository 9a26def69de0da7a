"""Which topics of a bag are the stereo pair, by the names that recorders and drivers use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from occdepth_ros.errors import SourceError

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"

SIDES = (
    ("left", "right"),
    ("infra1", "infra2"),
    ("image_02", "image_03"),
    ("image_2", "image_3"),
    ("image_00", "image_01"),
    ("image_0", "image_1"),
    ("cam2", "cam3"),
    ("cam0", "cam1"),
    ("camera0", "camera1"),
)
"""How topics name the left and the right camera; among others kitti2bag (`/kitti/camera_color_left/...`),
kitti_to_ros2bag (`/kitti/camera/color/left/...`), RealSense (`infra1`) and EuRoC (`cam0`)."""


@dataclass(frozen=True)
class StereoTopics:
    """The topics of a stereo pair.

    Args:
        left, right: images.
        left_info, right_info: calibrations.
    """

    left: str
    right: str
    left_info: str
    right_info: str


def choose_topics(topics: Mapping[str, str], bag: str) -> StereoTopics:
    """Find the stereo pair; rectified before raw, colour before grey, plain before compressed.

    Args:
        topics: topic name to message type, such as "sensor_msgs/msg/Image".
        bag: for error texts.

    Raises:
        SourceError: there is no pair of images, or a calibration is missing; the text lists what there is.
    """
    images = sorted(name for name, kind in topics.items() if kind in IMAGE_TYPES)
    infos = {name for name, kind in topics.items() if kind == INFO_TYPE}
    pairs = [(left, right) for left in images for right in _partners(left) if right in images]
    if not pairs:
        raise SourceError(
            f"no pair of left and right images among its topics ({_listed(images) or 'no images at all'})",
            where=bag,
            remedy="Record both cameras, as left/image_rect and right/image_rect with their camera_info.",
        )
    left, right = min(pairs, key=lambda pair: (_info(pair[0], infos) is None, _rank(pair[0])))
    found = _info(left, infos), _info(right, infos)
    if found[0] is None or found[1] is None:
        raise SourceError(
            f"{left} and {right} have no camera_info beside them ({_listed(sorted(infos)) or 'no CameraInfo at all'})",
            where=bag,
            remedy="Record the camera_info topics of both cameras too.",
        )
    return StereoTopics(left, right, found[0], found[1])


def _partners(left: str) -> Iterable[str]:
    for ours, theirs in SIDES:
        head, found, tail = left.rpartition(ours)
        if found:
            yield head + theirs + tail
            yield left.replace(ours, theirs)


def _rank(topic: str) -> tuple[bool, bool, bool, str]:
    return "rect" not in topic, "gray" in topic or "grey" in topic or "mono" in topic, "compressed" in topic, topic


def _info(topic: str, infos: set[str]) -> str | None:
    parents = [topic.rsplit("/", up)[0] for up in (1, 2) if topic.count("/") > up]
    return next((f"{parent}/camera_info" for parent in parents if f"{parent}/camera_info" in infos), None)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
