"""Stand-in for the ROS 2 package ``tf2_ros`` (Jazzy): the tree of coordinate frames over time.

Written for machines whose ROS 2 comes from PyPI, which carries no ``tf2_ros``; where the real package is installed it
is used and this one is not. The frame tree, which the real package has in C++ (``tf2``), is Python here; names,
signatures, results and the kinds of errors are the real package's.
"""

from tf2_ros._buffer_core import BufferCore
from tf2_ros._errors import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)
from tf2_ros.buffer import Buffer
from tf2_ros.buffer_interface import BufferInterface, TransformRegistration, TypeException
from tf2_ros.static_transform_broadcaster import StaticTransformBroadcaster
from tf2_ros.transform_broadcaster import TransformBroadcaster
from tf2_ros.transform_listener import TransformListener

__all__ = [
    "Buffer",
    "BufferCore",
    "BufferInterface",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "StaticTransformBroadcaster",
    "TimeoutException",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
    "TransformRegistration",
    "TypeException",
]
