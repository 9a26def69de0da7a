"""Stereo pairs among the topics of a bag, by the names that recorders and drivers use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from occdepth_ros.errors import SourceError
from occdepth_ros.sources.base import SourceOptions

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
    ("cam_0", "cam_1"),
    ("camera0", "camera1"),
    ("camera_0", "camera_1"),
    ("camera1", "camera2"),
    ("camera_1", "camera_2"),
)
"""Names of the left and the right camera in topics; among others kitti2bag (`/kitti/camera_color_left/...`),
kitti_to_ros2bag (`/kitti/camera/color/left/...`), RealSense (`infra1`) and EuRoC (`cam0`)."""


@dataclass(frozen=True)
class StereoTopics:
    """The topics of a stereo pair, as `canonical` names.

    Args:
        left, right: images.
        left_info, right_info: calibrations.
    """

    left: str
    right: str
    left_info: str
    right_info: str


def canonical(topic: str) -> str:
    """Return the name with one leading slash; recorders write it with or without the slash."""
    return "/" + topic.strip("/")


def stereo_candidates(topics: Mapping[str, str], bag: str, options: SourceOptions | None = None) -> list[StereoTopics]:
    """Find all stereo pairs; rectified before raw, colour before grey, uncompressed before compressed.

    Args:
        topics: topic name to message type, such as "sensor_msgs/msg/Image".
        bag: for error messages.
        options: `left`, `right` name the topics; `topics` is a part of the names that both must contain.

    Raises:
        SourceError: there is no pair of images, or no pair has calibrations; the text lists the topics.
    """
    options = options or SourceOptions()
    kinds = {canonical(name): kind for name, kind in topics.items()}
    images = sorted(name for name, kind in kinds.items() if kind in IMAGE_TYPES)
    infos = {name for name, kind in kinds.items() if kind == INFO_TYPE}
    pairs = _requested(images, bag, options)
    if not pairs:
        raise SourceError(
            f"no pair of left and right images among its topics ({_listed(images) or 'no images at all'})",
            where=bag,
            remedy="Record both cameras, as left/image_rect and right/image_rect with their camera_info; or name the "
            "image topics with --left and --right.",
        )
    found = [
        StereoTopics(left, right, left_info, right_info)
        for left, right in sorted(pairs, key=lambda pair: _rank(pair[0]))
        if (left_info := _info(left, infos)) and (right_info := _info(right, infos))
    ]
    if not found:
        left, right = min(pairs, key=lambda pair: _rank(pair[0]))
        raise SourceError(
            f"no camera_info topic belongs to {' or '.join(name for name in (left, right) if not _info(name, infos))} "
            f"(CameraInfo: {_listed(sorted(infos)) or 'none'})",
            where=bag,
            remedy="Record the camera_info topics of both cameras, too.",
        )
    return found


def _requested(images: list[str], bag: str, options: SourceOptions) -> list[tuple[str, str]]:
    """Return the pairs of image topics that the options allow, without repetition."""
    part = options.topics.strip("/")
    left_name, right_name = (canonical(name) if name else "" for name in (options.left, options.right))
    for name in filter(None, (left_name, right_name)):
        if name not in images:
            raise SourceError(
                f"there is no image topic {name} ({_listed(images) or 'no images at all'})",
                where=bag,
                remedy="Give one of these names.",
            )
    if left_name and left_name == right_name:
        raise SourceError(f"{left_name} is given for both sides", where=bag, remedy="Give the topics of two cameras.")
    if left_name and right_name:
        return [(left_name, right_name)]
    pairs = [(left, right) for left in images for right in _partners(left) if right in images and right != left]
    chosen = [
        (left, right)
        for left, right in dict.fromkeys(pairs)
        if part in left and part in right and left_name in ("", left) and right_name in ("", right)
    ]
    if pairs and not chosen:
        raise SourceError(
            f"no stereo pair matches {part or left_name or right_name!r} "
            f"({_listed([f'{left} and {right}' for left, right in dict.fromkeys(pairs)])})",
            where=bag,
            remedy="Give both topics, with --left and --right.",
        )
    return chosen


def _partners(left: str) -> Iterable[str]:
    for ours, theirs in SIDES:
        head, found, tail = left.rpartition(ours)
        if found:
            yield head + theirs + tail
            yield left.replace(ours, theirs)


def _rank(topic: str) -> tuple[bool, bool, bool, str]:
    return "rect" not in topic, "gray" in topic or "grey" in topic or "mono" in topic, "compressed" in topic, topic


def _info(topic: str, infos: set[str]) -> str | None:
    parents = [topic.rsplit("/", up)[0] for up in (1, 2) if topic.count("/") >= up]
    return next((f"{parent}/camera_info" for parent in parents if f"{parent}/camera_info" in infos), None)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
