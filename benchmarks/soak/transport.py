"""Transport: grids of 6 MB at 10 Hz from one process to another, on every RMW implementation that is installed."""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import rclpy
from ament_index_python.resources import get_resources
from occdepth_ros.msg import SemanticGrid
from std_msgs.msg import Header

from benchmarks.soak.result import Result
from occdepth_ros.nodes.middleware import VARIABLES, large_message_environment
from occdepth_ros.nodes.qos import RESULT, fresh

PART = "transport"
SHORT, FULL = 100, 10_000
BYTES, RATE = 6_000_000, 10.0
DOMAIN = 104
DEPTH = 10
"""History of publisher and subscriber: with the default of 1, a process that the system does not schedule for 100 ms
loses a grid although the transport delivers it. `qos_overrides` sets it for a node."""
KNOWN = ("rmw_fastrtps_cpp", "rmw_cyclonedds_cpp", "rmw_zenoh_cpp", "rmw_fastrtps_dynamic_cpp", "rmw_connextdds")
PROFILES = {"fastrtps": "config/fastdds.xml", "cyclonedds": "config/cyclonedds.xml"}


def run(full: bool) -> list[Result]:
    """Measure every implementation, with its defaults and with the shipped profile."""
    count = FULL if full else SHORT
    results = []
    present = implementations()
    for rmw in present:
        profiles = {"default": dict.fromkeys(VARIABLES, "")}
        if name := next((name for part, name in PROFILES.items() if part in rmw), None):
            profiles[name] = large_message_environment({})
        for profile, environment in profiles.items():
            # the defaults are measured to show why profiles are shipped
            shipped = profile != "default"
            extent = count if shipped else SHORT
            arrived = _measure(rmw, environment, extent)
            what = f"{rmw}, {profile}: {extent} grids of {BYTES / 1e6:g} MB at {RATE:g} Hz, depth {DEPTH}"
            held = arrived == extent if shipped or len(profiles) == 1 else None
            results.append(Result(PART, what, f"{arrived} arrived", f"{extent}", held))
    absent = [name for name in KNOWN if name not in present]
    results.append(Result(PART, "implementations that are not installed", ", ".join(absent) or "none", "-", None))
    return results


def implementations() -> list[str]:
    """Return the installed RMW implementations."""
    found = set(get_resources("rmw_typesupport")) - {"rmw_implementation"}
    try:
        from rclpy.utilities import get_rmw_implementation_identifier

        found.add(get_rmw_implementation_identifier())
    except ImportError:
        pass
    return sorted(found)


def _measure(rmw: str, environment: dict[str, str], count: int) -> int:
    """Return the number of grids that arrive in another process."""
    variables = {**os.environ, **environment, "RMW_IMPLEMENTATION": rmw, "ROS_DOMAIN_ID": str(DOMAIN)}
    variables = {name: value for name, value in variables.items() if value}
    command = [sys.executable, "-m", "benchmarks.soak.transport", str(count)]
    root = Path(__file__).resolve().parents[2]
    listener = subprocess.Popen([*command, "--listen"], env=variables, cwd=root, stdout=subprocess.PIPE, text=True)
    sender = subprocess.Popen(command, env=variables, cwd=root)
    limit = 60 + 3 * count / RATE
    try:
        answer, _ = listener.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        listener.kill()
        answer, _ = listener.communicate()
    finally:
        for process in (sender, listener):
            process.terminate()
            process.wait(30)
    return int(answer.split()[-1]) if answer.split() else 0


def main() -> int:
    """Send grids, or count them and print the number."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak.transport", description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--listen", action="store_true")
    parser.add_argument("--depth", type=int, default=DEPTH, help="history of the publisher and of the subscriber")
    parsed = parser.parse_args()
    quality = fresh(RESULT)
    quality.depth = parsed.depth
    rclpy.init()
    node = rclpy.create_node("soak_listener" if parsed.listen else "soak_sender")
    if parsed.listen:
        seen: set[int] = set()
        last = [time.monotonic() + 50.0]

        def receive(message: bytes) -> None:
            # CDR: 4 bytes of encapsulation, seconds, nanoseconds
            seen.add(struct.unpack_from("<I", message, 8)[0])
            last[0] = time.monotonic()

        # as bytes: the transport is measured, not the deserialization
        node.create_subscription(SemanticGrid, "grid", receive, quality, raw=True)
        while len(seen) < parsed.count and time.monotonic() < last[0] + 5.0:
            rclpy.spin_once(node, timeout_sec=0.2)
        print(len(seen), flush=True)
    else:
        publisher = node.create_publisher(SemanticGrid, "grid", quality)
        end = time.monotonic() + 30
        while not publisher.get_subscription_count() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        message = SemanticGrid(labels=bytes(BYTES))
        start = time.monotonic()
        for index in range(parsed.count):
            message.header = Header()
            message.header.stamp.nanosec = index
            publisher.publish(message)
            time.sleep(max(0.0, start + (index + 1) / RATE - time.monotonic()))
        time.sleep(10)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
