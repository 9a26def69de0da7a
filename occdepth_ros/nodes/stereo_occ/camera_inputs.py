"""Subscriptions to the images and CameraInfo of both cameras: the remapped topics, or those of the only live stereo
pair."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.nodes.qos import REPLAYED, SENSOR_DATA, fresh, overridable
from occdepth_ros.nodes.stereo_occ.live_pairs import LivePairs
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.sync import SIDES


class CameraInputs:
    """Subscribes to the cameras.

    Args:
        node: node of the subscriptions.
        settings: `rectify`, `auto_select` and `reliable_on_loss` are used.
        on_image, on_info: called with "left" or "right" and each message.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        on_image: Callable[[str, Image], None],
        on_info: Callable[[str, CameraInfo], None],
    ) -> None:
        self._node = node
        self._may_select = settings.auto_select
        self._on_image, self._on_info = on_image, on_info
        self._live = LivePairs(node, rectify=settings.rectify)
        self._may_be_reliable = settings.reliable_on_loss
        self._subscriptions: list[Subscription] = []
        self._images: dict[str, Subscription] = {}
        self._requested: dict[str, str] = {}
        self._reliable: set[str] = set()
        self.names: dict[str, str] = {}
        """Resolved names of the image topics by side."""
        self._subscribe({side: (f"{side}/image_rect", f"{side}/camera_info") for side in SIDES})

    def advice(self) -> str:
        """Return which live stereo pair to use, for the text of a fault."""
        return self._live.advice(self.names)

    def select(self) -> str:
        """With `auto_select`, subscribe to the only live pair; return why it was chosen, empty = nothing changed."""
        chosen = self._live.selected(self.names) if self._may_select else None
        if chosen is None:
            return ""
        topics, reason = chosen[0].topics, chosen[1]
        self.close()
        self._subscribe({"left": (topics.left, topics.left_info), "right": (topics.right, topics.right_info)})
        return reason

    def adapt(self, *, is_lossy: bool) -> None:
        """Subscribe reliably to images that get lost, so that the middleware sends lost fragments again; log it.

        Best effort is faster while nothing is lost, and it is the only choice for a publisher of best effort. A side
        whose reliability is overridden by a parameter keeps it.

        Args:
            is_lossy: whether images get lost at present.
        """
        if not self._may_be_reliable or not (is_lossy or self._reliable):
            return
        for side, image in list(self._images.items()):
            topic = self.names[side]
            offered = [p.qos_profile.reliability for p in self._node.get_publishers_info_by_topic(topic)]
            is_offered = bool(offered) and all(policy == ReliabilityPolicy.RELIABLE for policy in offered)
            if side in self._reliable:
                becomes_reliable = is_offered or not offered
            else:
                becomes_reliable = is_offered and image.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
            if becomes_reliable == (side in self._reliable):
                continue
            (self._reliable.add if becomes_reliable else self._reliable.discard)(side)
            self._subscriptions.remove(image)
            self._node.destroy_subscription(image)
            profile = REPLAYED if becomes_reliable else SENSOR_DATA
            # the requested name: remapping rules apply to the resolved one, too
            self._images[side] = self._node.create_subscription(
                Image, self._requested[side], partial(self._on_image, side), fresh(profile)
            )
            self._subscriptions.append(self._images[side])
            text = "reliably, because images get lost" if becomes_reliable else "with best effort, as it is published"
            self._node.get_logger().warning(f"subscribed to {topic} {text}")

    def close(self) -> None:
        """Unsubscribe."""
        self._live.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._images.clear()
        self._reliable.clear()

    def _subscribe(self, topics: dict[str, tuple[str, str]]) -> None:
        for side, (image, info) in topics.items():
            self._requested[side] = image
            self._images[side] = self._made(Image, image, partial(self._on_image, side))
            self.names[side] = str(self._images[side].topic_name)
            self._made(CameraInfo, info, partial(self._on_info, side))

    def _made(self, message: type, topic: str, callback: Callable[..., None]) -> Subscription:
        made = self._node.create_subscription(
            message, topic, callback, fresh(SENSOR_DATA), qos_overriding_options=overridable()
        )
        self._subscriptions.append(made)
        return made
