"""Generated Image, CameraInfo and TF messages: the checks accept or refuse each one, without a crash or a hang.

Fields take values of typed lists (limits, NaN, sizes that contradict each other) around a valid message; a part of the
messages is serialized, damaged in single bytes, and deserialized again. Only `OccDepthError` and, for TF, exceptions of
tf2 may leave the checks.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import tf2_ros
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.logging import LoggingSeverity, set_logger_level
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time as RosTime
from sensor_msgs.msg import CameraInfo, Image

from benchmarks.soak.local_node import image_message, info_message
from benchmarks.soak.result import Result
from occdepth_ros.errors import OccDepthError
from occdepth_ros.nodes.conversions import image_of, matrix_of
from occdepth_ros.nodes.stereo_occ.calibration import StereoCalibration
from occdepth_ros.nodes.stereo_occ.sync import PairSynchronizer
from occdepth_ros.sources.encodings import ENCODINGS
from occdepth_ros.stereo.calibration.extrinsics_checks import OPTICAL_FROM_BODY, check_extrinsics

PART = "messages"
SHORT, FULL = 8_000, 1_000_000
SLOW_S = 1.0
"""CPU time of a message from which it counts as a hang, seconds."""
SIZES = (0, 1, 2, 3, 7, 8, 16, 31, 64, 65_535, 2**31, 2**32 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 100.0, -50.0, 1e-300, 1e300, math.inf, -math.inf, math.nan)
STAMPS = (0, 1, -1, 2**31 - 1, -(2**31), 1_700_000_000)
NANOSECONDS = (0, 999_999_999, 1_000_000_000, 2**32 - 1)
NAMES = ("", "/", "camera", "camera_left_optical", "a/b", "\u00e4", "x" * 300)
MODELS = ("", "plumb_bob", "rational_polynomial", "equidistant", "fisheye", "none", "unknown")


def run(full: bool) -> list[Result]:
    """Generate and check the messages."""
    count = FULL if full else SHORT
    rng = random.Random(0)
    kinds = checks()
    with _quiet():
        return [generate(name, check, count // len(kinds), rng) for name, check in kinds.items()]


def checks() -> dict[str, Callable[[random.Random], str]]:
    """Return by message the function that generates one and gives it to the checks of the node."""
    set_logger_level("tf2", LoggingSeverity.FATAL)  # it logs each refused transform
    return {
        "Image": _check_image,
        "CameraInfo": _InfoChecks().check,
        "TransformStamped": _check_transform,
        "stamps of Image": _StampChecks().check,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard stderr, where the middleware prints a line for each damaged message."""
    kept = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def generate(name: str, check: Callable[[random.Random], str], share: int, rng: random.Random) -> Result:
    """Generate and check a number of messages of one kind."""
    outcomes: Counter[str] = Counter()
    slowest, problem = 0.0, ""
    start = time.monotonic()
    for _ in range(share):
        began = time.process_time()
        try:
            outcomes[check(rng)] += 1
        except (OccDepthError, tf2_ros.TransformException):
            outcomes["refused"] += 1
        except Exception as error:
            outcomes["crashed"] += 1
            problem = problem or f"{type(error).__name__}: {error}"
        slowest = max(slowest, time.process_time() - began)
    text = f"{outcomes['accepted']} accepted, {outcomes['refused']} refused, {outcomes['crashed']} crashed"
    text += f", slowest {1e3 * slowest:.0f} ms, {time.monotonic() - start:.0f} s in all"
    text += f" ({problem})" if problem else ""
    held = not outcomes["crashed"] and slowest < SLOW_S
    return Result(PART, f"{share} generated {name}", text, "0 crashed, none above 1 s", held)


def _damaged(message: Any, rng: random.Random) -> Any:
    """Serialize, change a few bytes, deserialize; the message itself where the result is not a message."""
    content = bytearray(serialize_message(message))
    for _ in range(rng.randint(1, 4)):
        content[rng.randrange(4, len(content))] = rng.randrange(256)
    if rng.random() < 0.2:
        del content[rng.randrange(4, len(content)) :]
    try:
        return deserialize_message(bytes(content), type(message))
    except Exception:  # rclpy refuses it before any code of this package
        return message


def _image(rng: random.Random) -> Image:
    width, height = rng.choice((1, 2, 7, 16, 64)), rng.choice((1, 2, 7, 16))
    message = image_message(np.zeros((height, width, 3), np.uint8), 0)
    if rng.random() < 0.7:
        message.encoding = rng.choice((*ENCODINGS, "", "32FC1", "jpeg", "RGB8", " rgb8"))
        encoding = ENCODINGS.get(message.encoding)
        if encoding is not None and rng.random() < 0.7:
            message.step = width * encoding.channels * encoding.width
            message.data = bytes(message.step * (height * encoding.planes // 2))
    for name in ("width", "height", "step"):
        if rng.random() < 0.15:
            setattr(message, name, rng.choice(SIZES))
    if rng.random() < 0.2:
        message.data = bytes(rng.choice((0, 1, 5, 1000)))
    message.is_bigendian = rng.choice((0, 1, 255))
    return message


def _check_image(rng: random.Random) -> str:
    message = _image(rng)
    if rng.random() < 0.2:
        message = _damaged(message, rng)
    pixels = image_of(message, "left/image_rect")
    if pixels.dtype != np.uint8 or pixels.shape != (message.height, message.width, 3):
        raise AssertionError(f"{pixels.shape} {pixels.dtype} for {message.width}x{message.height}")
    return "accepted"


class _StampChecks:
    """A synchronizer that sees generated stamps."""

    def __init__(self) -> None:
        self._synchronizer = PairSynchronizer(lambda pair: None, lambda seconds: None, approximate=True)

    def check(self, rng: random.Random) -> str:
        """Give one image with a generated stamp."""
        message = Image()
        message.header.stamp = Time(sec=rng.choice(STAMPS), nanosec=rng.choice(NANOSECONDS))
        self._synchronizer.add(rng.choice(("left", "right")), message)
        return "accepted"


class _InfoChecks:
    """The calibration of a node that sees generated CameraInfo."""

    def __init__(self) -> None:
        texture = np.random.default_rng(0).integers(0, 255, (96, 160, 3), np.uint8)
        self._images = texture, np.roll(texture, -8, 1)
        self._plain = np.zeros_like(texture), np.zeros_like(texture)

    def check(self, rng: random.Random) -> str:
        """Give one pair of CameraInfo."""
        calibration = StereoCalibration(rectify=rng.random() < 0.3)
        for side in ("left", "right"):
            message = info_message(side)
            if side == "right" or rng.random() < 0.3:
                message = self._changed(message, rng)
            calibration.update(side, message)
        # the features of textured images take longer than everything that depends on the messages
        calibration.rectified(*(self._images if rng.random() < 0.02 else self._plain))
        rig = calibration.rig(OPTICAL_FROM_BODY, "camera")
        check_extrinsics(rig, "soak")
        values = np.concatenate([rig.left.projection.ravel(), rig.right.projection.ravel()])
        if not np.isfinite(values).all() or rig.baseline <= 0:
            raise AssertionError("an unusable calibration was accepted")
        return "accepted"

    @staticmethod
    def _changed(message: CameraInfo, rng: random.Random) -> CameraInfo:
        if rng.random() < 0.2:
            return _damaged(message, rng)
        for name in rng.sample(("k", "r", "p"), rng.randint(0, 2)):
            values = getattr(message, name)
            for _ in range(rng.randint(1, 3)):
                values[rng.randrange(len(values))] = rng.choice(FLOATS)
        if rng.random() < 0.5:
            message.d = [rng.choice(FLOATS) for _ in range(rng.choice((0, 4, 5, 8, 9, 14, 200)))]
        for name in ("width", "height", "binning_x", "binning_y"):
            if rng.random() < 0.1:
                setattr(message, name, rng.choice(SIZES))
        for name in ("x_offset", "y_offset", "width", "height"):
            if rng.random() < 0.1:
                setattr(message.roi, name, rng.choice(SIZES))
        message.distortion_model = rng.choice(MODELS)
        message.header.frame_id = rng.choice(NAMES)
        return message


def _check_transform(rng: random.Random) -> str:
    message = TransformStamped(child_frame_id=rng.choice(NAMES))
    message.header.frame_id = rng.choice(NAMES)
    message.header.stamp = Time(sec=rng.choice(STAMPS), nanosec=rng.choice(NANOSECONDS))
    for part in (message.transform.translation, message.transform.rotation):
        for name in part.get_fields_and_field_types():
            setattr(part, name, rng.choice(FLOATS))
    if rng.random() < 0.2:
        message = _damaged(message, rng)
    buffer = tf2_ros.Buffer()
    (buffer.set_transform_static if rng.random() < 0.5 else buffer.set_transform)(message, "soak")
    names = SimpleNamespace(parent=message.header.frame_id, child=message.child_frame_id)
    found = buffer.lookup_transform(names.parent.strip("/"), names.child.strip("/"), RosTime())
    matrix = matrix_of(found.transform)
    return "accepted" if np.isfinite(matrix).all() else "refused"
