"""Replacement for the ROS 2 package ``tf2_ros`` (Jazzy): the tree of coordinate frames over time.

It is for ROS 2 installations from PyPI, which do not include ``tf2_ros``. If the original package is installed, it is
used instead. The frame tree is implemented in Python; the original package uses C++ (``tf2``). Names, signatures,
results and error types are those of the original package.
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
