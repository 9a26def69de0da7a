"""Configuration of all test folders: isolated ROS traffic, and markers that skip with a reason."""

from __future__ import annotations

import importlib.util
import os

import pytest

# Set before rclpy is imported and inherited by the processes that tests start, so that test runs on one machine or
# network do not receive each other's messages. On Linux, domains 0 to 101 do not use ephemeral ports.
DOMAIN = int(os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100)))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # "gw0", "gw1", ...: 25 domains (helpers/nodes) and one core
    os.environ["ROS_DOMAIN_ID"] = str(1 + (DOMAIN - 1 + 25 * int(worker.removeprefix("gw"))) % 100)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `ros` and `gpu` where there is none."""
    if importlib.util.find_spec("rclpy") is None:
        skip_marked(items, "ros", "no ROS 2 in this environment (rclpy); `make test` provides one")
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            skip_marked(items, "gpu", "no NVIDIA GPU that torch can use")


def skip_marked(items: list[pytest.Item], marker: str, reason: str) -> None:
    """Skip every test that carries `marker`."""
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))
