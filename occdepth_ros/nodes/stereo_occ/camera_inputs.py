"""Subscriptions to the images and CameraInfo of both cameras: the remapped topics, or those of the only live stereo
pair."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.nodes.qos import SENSOR_DATA, fresh, overridable
from occdepth_ros.nodes.stereo_occ.live_pairs import LivePairs
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.sync import SIDES


class CameraInputs:
    """Subscribes to the cameras.

    Args:
        node: node of the subscriptions.
        settings: `rectify` and `auto_select` are used.
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
        self._subscriptions: list[Subscription] = []
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

    def close(self) -> None:
        """Unsubscribe."""
        self._live.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _subscribe(self, topics: dict[str, tuple[str, str]]) -> None:
        for side, (image, info) in topics.items():
            self.names[side] = self._made(Image, image, partial(self._on_image, side))
            self._made(CameraInfo, info, partial(self._on_info, side))

    def _made(self, message: type, topic: str, callback: Callable[..., None]) -> str:
        made = self._node.create_subscription(
            message, topic, callback, fresh(SENSOR_DATA), qos_overriding_options=overridable()
        )
        self._subscriptions.append(made)
        return str(made.topic_name)
