"""Stereo pairs among the live topics, for a node whose image topics have no publisher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from occdepth_ros.errors import CalibrationError, SourceError
from occdepth_ros.nodes.qos import SENSOR_DATA, fresh
from occdepth_ros.nodes.stereo_occ.sync import SIDES
from occdepth_ros.sources.bags.topics import INFO_TYPE, StereoTopics, stereo_candidates
from occdepth_ros.sources.base import SourceOptions
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration, stated_baseline
from occdepth_ros.stereo.calibration.checks import MAX_BASELINE, SHORT_BASELINE

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
SHOWN = 6
"""Maximum number of pairs or topics in a text."""


@dataclass(frozen=True)
class LivePair:
    """A stereo pair with publishers.

    Args:
        topics: its topics.
        baseline: distance of the cameras by their CameraInfo, metres; None = not received yet.
        problem: why the CameraInfo cannot be used; empty = usable.
    """

    topics: StereoTopics
    baseline: float | None = None
    problem: str = ""

    @property
    def is_plausible(self) -> bool:
        """Whether the baseline was received and is that of a stereo camera."""
        return self.baseline is not None and SHORT_BASELINE <= self.baseline <= MAX_BASELINE

    def __str__(self) -> str:
        stated = "no CameraInfo received" if self.baseline is None else f"baseline {self.baseline:.3g} m"
        return f"{self.topics.left} and {self.topics.right} ({self.problem or stated})"


def pairs_of(kinds: Mapping[str, str], options: SourceOptions, *, raw: bool) -> list[StereoTopics]:
    """Return one stereo pair per left camera, by the names that `occdepth run` recognizes in bags.

    Args:
        kinds: name to type of the topics that have publishers.
        options: topics that a pair must contain.
        raw: whether raw images are preferred to rectified ones.
    """
    try:
        found = stereo_candidates(kinds, "the live topics", options)
    except SourceError:
        return []
    if raw:
        found.sort(key=lambda topics: "raw" not in topics.left)
    first: dict[str, StereoTopics] = {}
    for topics in found:
        first.setdefault(topics.left_info, topics)
    return list(first.values())


def advice(pairs: Sequence[LivePair], names: Mapping[str, str], images: Sequence[str], *, rectify: bool) -> str:
    """Return which live pair to use and how, for the text of a fault.

    Args:
        pairs: the live pairs.
        names: resolved names of the node's own image topics by side.
        images: names of all image topics with publishers.
        rectify: value of the parameter `rectify`.
    """
    if not pairs:
        others = [name for name in images if name not in names.values()]
        if not others:
            return (
                "Start the camera: no other image topic has a publisher that this node sees (ROS_DOMAIN_ID and "
                "ROS_AUTOMATIC_DISCOVERY_RANGE of both must agree)"
            )
        compressed = " (image_transport's republish node decompresses them)" if _all_compressed(others) else ""
        return (
            f"Images are published on {_listed(others)}{compressed}, but no two are a stereo pair with CameraInfo: "
            "remap left/image_rect, right/image_rect, left/camera_info and right/camera_info"
        )
    if len(pairs) == 1:
        return f"The only live stereo pair is {pairs[0]}: restart with {arguments(pairs[0].topics, rectify=rectify)}"
    plausible = [pair for pair in pairs if pair.is_plausible]
    example = (plausible or list(pairs))[0].topics
    return (
        f"{len(pairs)} stereo pairs are live: {'; '.join(map(str, pairs[:SHOWN]))}"
        f"{'; ...' if len(pairs) > SHOWN else ''}. Choose one by restarting with its topics, such as "
        f"{arguments(example, rectify=rectify)}"
    )


def arguments(topics: StereoTopics, *, rectify: bool) -> str:
    """Return the arguments of the node that select a pair."""
    remaps = [
        f"-r left/image_rect:={topics.left}",
        f"-r right/image_rect:={topics.right}",
        f"-r left/camera_info:={topics.left_info}",
        f"-r right/camera_info:={topics.right_info}",
    ]
    if not rectify and "raw" in topics.left:
        remaps.append("-p rectify:=true")
    return "--ros-args " + " ".join(remaps)


class LivePairs:
    """Finds the stereo pairs that other nodes publish, with their baselines.

    Args:
        node: node that reads the graph and subscribes to the CameraInfo topics of the pairs.
        rectify: value of its parameter `rectify`.
    """

    def __init__(self, node: Node, *, rectify: bool) -> None:
        self._node = node
        self._rectify = rectify
        self._subscriptions: dict[str, Subscription] = {}
        self._received: dict[str, CameraCalibration | str] = {}

    def found(self, names: Mapping[str, str], received: Sequence[str]) -> list[LivePair]:
        """Return the live pairs, and subscribe to CameraInfo topics that are new among them.

        Args:
            names: resolved names of the node's own image topics by side.
            received: sides of which images arrive; pairs must contain their topics.
        """
        options = SourceOptions(**{side: names[side] for side in received})
        pairs = pairs_of(self._published(), options, raw=self._rectify)
        infos = {info for topics in pairs for info in (topics.left_info, topics.right_info)}
        for topic in infos - self._subscriptions.keys():
            self._subscriptions[topic] = self._node.create_subscription(
                CameraInfo, topic, partial(self._take, topic), fresh(SENSOR_DATA)
            )
        return [self._rated(topics) for topics in pairs]

    def advice(self, names: Mapping[str, str]) -> str:
        """Return which live pair to use, where an image topic has no publisher; see the function `advice`."""
        published = [side for side in SIDES if self._node.count_publishers(names[side])]
        if len(published) == len(SIDES):
            return "Both topics have publishers, which send no images: check the camera driver and the QoS"
        pairs = self.found(names, published)
        images = sorted(name for name, kind in self._published().items() if kind in (IMAGE, COMPRESSED))
        return advice(pairs, names, images, rectify=self._rectify)

    def selected(self, names: Mapping[str, str]) -> tuple[LivePair, str] | None:
        """Return the live pair to subscribe to automatically, and the reason; None if no pair or several pairs qualify.

        A pair qualifies if its baseline is plausible for a stereo camera and its images agree with `rectify`. No pair
        is selected if one of the node's own image topics has a publisher.
        """
        if any(self._node.count_publishers(name) for name in names.values()):
            return None
        pairs = self.found(names, [])
        usable = [pair for pair in pairs if pair.is_plausible and ("raw" in pair.topics.left) == self._rectify]
        if len(usable) != 1 or any(pair.baseline is None and not pair.problem for pair in pairs):
            return None
        return usable[0], "the only live stereo pair" + (
            f" with a plausible baseline, of {len(pairs)}" if len(pairs) > 1 else ""
        )

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _published(self) -> dict[str, str]:
        """Return the image and CameraInfo topics with a publisher, without the outputs of this kind of node."""
        kinds = {name: types[0] for name, types in self._node.get_topic_names_and_types() if types}
        camera_types = (IMAGE, COMPRESSED, INFO_TYPE)
        return {
            name: kind
            for name, kind in kinds.items()
            if kind in camera_types and "/stereo_occ/" not in name and self._node.count_publishers(name)
        }

    def _take(self, topic: str, message: CameraInfo) -> None:
        try:
            self._received[topic] = CameraCalibration.from_message(message, topic)
        except CalibrationError as error:
            self._received[topic] = error.what

    def _rated(self, topics: StereoTopics) -> LivePair:
        infos = [self._received.get(name) for name in (topics.left_info, topics.right_info)]
        for name, info in zip((topics.left_info, topics.right_info), infos, strict=True):
            if isinstance(info, str):
                return LivePair(topics, problem=f"{name}: {info}")
        left, right = infos
        if not isinstance(left, CameraCalibration) or not isinstance(right, CameraCalibration):
            return LivePair(topics)
        try:
            return LivePair(topics, stated_baseline(left, right))
        except CalibrationError as error:
            return LivePair(topics, problem=str(error))


def _all_compressed(names: Sequence[str]) -> bool:
    return all("compressed" in name for name in names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
