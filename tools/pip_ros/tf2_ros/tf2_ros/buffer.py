"""The frame tree with timeouts, futures and the clock of a node."""

from __future__ import annotations

import threading
import time as wall
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.srv import FrameGraph

from tf2_ros._buffer_core import DEFAULT_CACHE_TIME, BufferCore
from tf2_ros.buffer_interface import NO_WAIT, BufferInterface

POLL_SECONDS = 0.01
BIG_JUMP_BACK = Duration(seconds=3)


class Buffer(BufferCore, BufferInterface):
    """Buffer of the transforms of the last ``cache_time`` (default 10 s).

    With a ``node``, the buffer uses the clock of the node, clears the transforms if the time jumps back, and offers the
    service ``tf2_frames``, which returns the frames.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        BufferCore.__init__(self, DEFAULT_CACHE_TIME if cache_time is None else cache_time)
        BufferInterface.__init__(self)
        self._watchers: list[Callable[[], bool]] = []
        self._watchers_lock = threading.RLock()
        if node is not None:
            self.srv = node.create_service(FrameGraph, "tf2_frames", self._serve_frames)
            self.clock = node.get_clock()
        else:
            self.clock = Clock()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(threshold, post_callback=self.time_jump_callback)

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Clear the buffer, because its transforms do not belong to the new time."""
        get_logger("tf2_buffer").warning("Detected jump back in time. Clearing tf buffer.")
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Store a dynamic transform."""
        super().set_transform(transform, authority)
        self._settle_watchers()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Store a static transform."""
        super().set_transform_static(transform, authority)
        self._settle_watchers()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT
    ) -> TransformStamped:
        """Return the transform from source to target at ``time`` (zero: the latest); wait at most ``timeout``.

        Raises:
            LookupException, ConnectivityException, ExtrapolationException, InvalidArgumentException: the transform is
                not available.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
    ) -> TransformStamped:
        """Return the transform from the source at one time to the target at another time, through a fixed frame."""
        self.can_transform_full(target_frame, target_time, source_frame, source_time, fixed_frame, timeout)
        return self.lookup_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> Any:
        """Return whether the transform is available within ``timeout``; as a debug tuple, also the reason if not."""
        result = self._wait(lambda: self.can_transform_core(target_frame, source_frame, time), timeout)
        return result if return_debug_tuple else result[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> Any:
        """Return whether the transform through a fixed frame is available within ``timeout``."""
        asked = (target_frame, target_time, source_frame, source_time, fixed_frame)
        result = self._wait(lambda: self.can_transform_full_core(*asked), timeout)
        return result if return_debug_tuple else result[0]

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future that completes with the transform as soon as it is available."""
        return self._watch(
            lambda: self.can_transform_core(target_frame, source_frame, time),
            lambda: self.lookup_transform_core(target_frame, source_frame, time),
        )

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """Wait for the transform and return it, for coroutines of an rclpy executor."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def _wait(self, probe: Callable[[], tuple[bool, str]], timeout: Duration) -> tuple[bool, str]:
        """Poll ``probe`` until it returns True or ``timeout`` has passed on the buffer's clock, which may jump back."""
        result = probe()
        start = self.clock.now()
        while not result[0] and start <= (now := self.clock.now()) + BIG_JUMP_BACK and now < start + timeout:
            wall.sleep(POLL_SECONDS)
            result = probe()
        return result

    def _watch(self, probe: Callable[[], tuple[bool, str]], fetch: Callable[[], TransformStamped]) -> Future:
        future: Future = Future()

        def settle() -> bool:
            """Complete the future if the transform is available. Return whether the future is done."""
            if not future.done() and probe()[0]:
                future.set_result(fetch())
            return bool(future.done())

        with self._watchers_lock:
            if not settle():
                self._watchers.append(settle)
        return future

    def _settle_watchers(self) -> None:
        with self._watchers_lock:
            self._watchers = [settle for settle in self._watchers if not settle()]

    def _serve_frames(self, request: Any, response: Any) -> Any:
        response.frame_yaml = self.all_frames_as_yaml()
        return response
