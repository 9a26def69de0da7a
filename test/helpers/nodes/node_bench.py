"""A running node `stereo_occ` with a tiny stereo camera before it, for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from helpers import raytraced
from helpers.nodes.domains import next_domain
from occdepth_ros.nodes.qos import LATCHED, RESULT
from occdepth_ros.nodes.stereo_occ.node import StereoOccNode
from occdepth_ros.prediction import OccupancyPrediction

WIDTH, HEIGHT, FOCAL, BASELINE = 160, 96, 100.0, 0.5
FRAME = "camera_left_optical"
Result = TypeVar("Result")
SMALL_GRID: dict[str, Any] = {"grid_size": [32, 32, 16], "grid_origin": [0.0, -3.2, -1.6], "warm_up": False}
QUICK: dict[str, Any] = {**SMALL_GRID, "model": "stereo-geometry"}
"""What is measured is the node, not a network."""


def stereo_images(disparity: int = 12, seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A textured wall at FOCAL * BASELINE / disparity metres, left and right, `[H, W, 3]`."""
    texture = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH + disparity), np.uint8)
    left, right = texture[:, :WIDTH], texture[:, disparity : disparity + WIDTH]
    return np.repeat(left[..., None], 3, -1), np.repeat(right[..., None], 3, -1)


def image_message(image: npt.NDArray[np.uint8], stamp_ns: int, encoding: str = "rgb8", frame: str = FRAME) -> Image:
    message = Image(height=image.shape[0], width=image.shape[1], encoding=encoding)
    message.header.frame_id = frame
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.step = image.size // image.shape[0]
    message.data = image.tobytes()
    return message


def info_message(side: str, frame: str = FRAME) -> CameraInfo:
    message = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob")
    message.header.frame_id = frame
    message.d = [0.0] * 5
    message.k = [FOCAL, 0.0, WIDTH / 2, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    tx = 0.0 if side == "left" else -FOCAL * BASELINE
    message.p = [FOCAL, 0.0, WIDTH / 2, tx, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def contents(info: CameraInfo) -> str:
    """Text with all values of a message: NaN equals NaN. Streams differ in their padding, which is arbitrary."""
    with np.printoptions(precision=17):
        return repr(info)


def raytraced_infos() -> dict[str, CameraInfo]:
    """CameraInfo of the views of `helpers.raytraced`, by side."""
    k, given = raytraced.intrinsics(), {}
    for side, x in (("left", 0.0), ("right", raytraced.BASELINE)):
        given[side] = info_message(side)
        given[side].width, given[side].height = raytraced.WIDTH, raytraced.HEIGHT
        given[side].k, given[side].p = k.ravel(), raytraced.projection(k, x).ravel()
    return given


class Bench:
    """The node, a camera and listeners in one executor.

    Args:
        namespace: namespace of the node; the cameras stay in the root namespace.
        parameters: parameters of the node, in addition to a small grid, a quick model and extrinsics from parameters.
    """

    def __init__(self, namespace: str = "", **parameters: Any) -> None:
        values = {**QUICK, "extrinsics": "parameters", **parameters}
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=next_domain())
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = StereoOccNode(context=self.context, namespace=namespace, parameter_overrides=overrides)
        self.tester = rclpy.create_node("tester", context=self.context)
        self._senders = {
            (side, name): self.tester.create_publisher(kind, f"{side}/{name}", 5)
            for side in ("left", "right")
            for name, kind in (("image_rect", Image), ("camera_info", CameraInfo))
        }
        self.diagnostics: dict[str, Any] = {}
        self.tester.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 10)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._executor.add_node(self.tester)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        self.stamp_ns = 100_000_000_000
        self.left, self.right = stereo_images()

    @property
    def pipeline(self) -> Any:
        """The pipeline of a configured node, untyped: tests read and replace parts that may be None."""
        assert self.node.pipeline is not None, "the node is not configured"
        return self.node.pipeline

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(5.0)
        self.node.close()
        self.node.destroy_node()
        self.tester.destroy_node()
        rclpy.shutdown(context=self.context)

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function in the thread that spins, as services are called.

        A function that destroys a subscription in another thread, while the executor waits for it, ends the spinning
        with InvalidHandle.
        """
        task = self._executor.create_task(function)
        self.wait(task.done, "a call in the spinning thread did not end")
        result: Result = task.result()
        return result

    def transition(self, name: str) -> TransitionCallbackReturn:
        """Run "configure", "activate", "deactivate", "cleanup" or "shutdown" in the thread that spins."""
        result: TransitionCallbackReturn = self.call(getattr(self.node, f"trigger_{name}"))
        return result

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics[status.name.split(": ")[-1]] = status

    def listen(self, kind: type | None, topic: str, *, latched: bool = False) -> list[Any]:
        """Subscribe to an output; the list fills as messages come."""
        received: list[Any] = []
        self.tester.create_subscription(kind, f"/stereo_occ/{topic}", received.append, LATCHED if latched else RESULT)
        return received

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 180.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert self._thread.is_alive(), "the executor ended"
            assert time.monotonic() < end, f"{what}; faults: {[(f.name, f.text) for f in self.node.faults.present()]}"
            time.sleep(0.01)

    def wait_active(self) -> None:
        self.wait(lambda: self.node.label == "active", "the node did not become active", 180.0)
        senders = self._senders.values()
        self.wait(lambda: all(s.get_subscription_count() for s in senders), "the node did not subscribe")

    def send_infos(self, **changes: CameraInfo) -> None:
        for side in ("left", "right"):
            self._senders[side, "camera_info"].publish(changes.get(side, info_message(side)))

    def calibrate(self, **changes: CameraInfo) -> None:
        """Send the calibrations until the node has them, so that the next pair cannot overtake them."""
        sent = {side: contents(changes.get(side, info_message(side))) for side in ("left", "right")}

        def is_known() -> bool:
            known = self.pipeline.calibration._infos
            return all(side in known and contents(known[side]) == text for side, text in sent.items())

        end = time.monotonic() + 60.0
        while not is_known():
            assert time.monotonic() < end, "the calibrations did not arrive"
            self.send_infos(**changes)
            again = time.monotonic() + 1.0
            while not is_known() and time.monotonic() < again:
                time.sleep(0.005)

    def send_image(self, side: str, message: Image) -> None:
        self._senders[side, "image_rect"].publish(message)

    def next_stamp(self) -> int:
        self.stamp_ns += 100_000_000
        return self.stamp_ns

    def send_pair(self, left: Image | None = None, right: Image | None = None) -> int:
        """A good pair, or one with replaced messages; returns the stamp."""
        stamp = self.next_stamp()
        for side, given, image in (("left", left, self.left), ("right", right, self.right)):
            changed = image.copy()
            # one pixel of sensor noise: images that do not change are a fault; it never is that of the clean image
            changed[0, 0] += np.uint8(1 + stamp // 100_000_000 % 251)
            message = given if given is not None else image_message(changed, stamp)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
            self.send_image(side, message)
        return stamp

    @property
    def processed(self) -> int:
        return self.node.pipeline.processed if self.node.pipeline else 0

    def wait_processed(self, count: int) -> None:
        self.wait(lambda: self.processed >= count, "the pair was not predicted")

    def good_pair(self) -> None:
        """Send good calibrations and a good pair, again if it was lost, until one was predicted and none waits."""
        before, end = self.processed, time.monotonic() + 60.0
        self.send_infos()
        while self.processed == before:
            assert self._thread.is_alive(), "the executor ended"
            assert time.monotonic() < end, f"no good pair was predicted; faults: {self.fault_names()}"
            self.send_pair()
            again = time.monotonic() + 0.3
            while self.processed == before and time.monotonic() < again:
                time.sleep(0.005)
        # a second pair may have come late
        time.sleep(0.03)
        self.wait(lambda: self.node.worker is None or not self.node.worker.is_busy, "a pair was not finished")

    def fault_names(self, *, without_clock: bool = False) -> set[str]:
        """Names of the present faults; the stamps of the bench are of 1970, which is the fault "other_clock"."""
        names = {fault.name for fault in self.node.faults.present()}
        return names - {"other_clock"} if without_clock else names

    def expect_fault(self, name: str, expected_text: str = "") -> None:
        """Wait for a fault on the board and for its words on /diagnostics."""
        self.wait(lambda: name in self.fault_names(), f"the fault {name} did not come")
        fault = next(f for f in self.node.faults.present() if f.name == name)
        assert expected_text in fault.text, fault.text
        component = fault.component.value
        self.wait(
            lambda: component in self.diagnostics and f"{name}: " in self.diagnostics[component].message,
            f"{name} is not in the diagnostics",
        )
        levels = b"\x02" if fault.is_error else (b"\x01", b"\x02")
        assert self.diagnostics[component].level in levels

    def static_transform(self, translation: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> TransformStamped:
        """velodyne -> camera, axes as a level camera."""
        message = TransformStamped(child_frame_id=FRAME)
        message.header.frame_id = "velodyne"
        t, q = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = translation
        q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
        return message


def stamp_of(message: Any) -> int:
    """Stamp of a message or of a prediction, nanoseconds."""
    if isinstance(message, OccupancyPrediction):
        return message.stamp_ns
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
