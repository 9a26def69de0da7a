"""What every source of transforms offers: applying them to stamped objects of registered types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time

Transformer = Callable[[Any, TransformStamped], Any]
NO_WAIT = Duration()


class TypeException(Exception):
    """An object of a type for which nobody registered how it is transformed."""

    def __init__(self, errstr: str) -> None:
        super().__init__(errstr)
        self.errstr = errstr


class TransformRegistration:
    """How objects of each type are transformed, for the whole process."""

    _known: ClassVar[dict[Any, Transformer]] = {}

    def add(self, key: Any, callback: Transformer) -> None:
        """Register ``callback(object, transform)`` for objects of the type ``key``."""
        self._known[key] = callback

    def get(self, key: Any) -> Transformer:
        """Return what is registered for the type ``key``; raises TypeException where nothing is."""
        if key not in self._known:
            raise TypeException(f"Type {key} if not loaded or supported")
        return self._known[key]


class BufferInterface:
    """Base of everything that looks up transforms."""

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

        Raises TypeException where its type is not registered, TransformException where the transform is missing.
        """
        if new_type is not None:
            raise TypeException("conversion to another type is not part of this stand-in of tf2_ros")
        apply = self.registration.get(type(object_stamped))
        header = object_stamped.header
        return apply(object_stamped, self.lookup_transform(target_frame, header.frame_id, header.stamp, timeout))
