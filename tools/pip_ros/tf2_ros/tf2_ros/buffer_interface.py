"""Interface of transform sources, which apply transforms to stamped objects of registered types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time

Transformer = Callable[[Any, TransformStamped], Any]
NO_WAIT = Duration()


class TypeException(Exception):
    """The type of the object is not registered."""

    def __init__(self, errstr: str) -> None:
        super().__init__(errstr)
        self.errstr = errstr


class TransformRegistration:
    """Registry of the functions that transform objects, by type, shared by the process."""

    _known: ClassVar[dict[Any, Transformer]] = {}

    def add(self, key: Any, callback: Transformer) -> None:
        """Register ``callback(object, transform)`` for objects of type ``key``."""
        self._known[key] = callback

    def get(self, key: Any) -> Transformer:
        """Return the function for the type ``key``.

        Raises:
            TypeException: the type is not registered.
        """
        if key not in self._known:
            raise TypeException(f"Type {key} if not loaded or supported")
        return self._known[key]


class BufferInterface:
    """Base class of transform sources."""

    def __init__(self) -> None:
        self.registration = TransformRegistration()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT
    ) -> TransformStamped:
        """Return the transform from the source to the target frame."""
        raise NotImplementedError

    def transform(
        self, object_stamped: Any, target_frame: str, timeout: Duration = NO_WAIT, new_type: Any = None
    ) -> Any:
        """Return ``object_stamped`` in the target frame at the object's own time.

        Raises:
            TypeException: the type is not registered.
            TransformException: the transform is not available.
        """
        if new_type is not None:
            raise TypeException("conversion to another type is not supported by this replacement of tf2_ros")
        apply = self.registration.get(type(object_stamped))
        header = object_stamped.header
        return apply(object_stamped, self.lookup_transform(target_frame, header.frame_id, header.stamp, timeout))
