"""The base of all filters and the one that feeds a filter chain from a topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Callback = Callable[..., None]


class SimpleFilter:
    """Holds callbacks and hands every message (or set of messages) of the filter to all of them, in order."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callback, tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callback, *args: Any) -> int:
        """Call ``cb(*messages, *args)`` for every output of this filter; returns the connection's number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Hand one output (one message, or one per input) to every registered callback."""
        for callback, extra in tuple(self.callbacks.values()):
            callback(*msg, *extra)


class Subscriber(SimpleFilter):
    """The source of a chain: a subscription of ``node`` whose messages go to the registered callbacks.

    ``Subscriber(node, MessageType, "topic", qos_profile=..., ...)``; all further arguments are those of
    ``rclpy.node.Node.create_subscription``. Without ``qos_profile`` it keeps the last 10 messages, reliably.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node, message_type, self.topic, *further = args
        kwargs.setdefault("qos_profile", 10)
        self.sub = self.node.create_subscription(message_type, self.topic, *further, self.callback, **kwargs)

    def callback(self, msg: Any) -> None:
        """Take one message of the subscription."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """Return the topic's name as it was asked for."""
        return str(self.topic)

    def __getattr__(self, key: str) -> Any:
        # Only reached for names that this object lacks. "sub" itself is one of them until __init__ has set it.
        if key == "sub":
            raise AttributeError(key)
        return getattr(self.sub, key)
