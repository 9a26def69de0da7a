"""A node's process ends cleanly after repeated signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")

from helpers import sequences

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("node", "ready", "pause", "model"),
    [
        ("stereo_occ", "configured", 0.0, "occdepth-edge"),
        ("stereo_occ", "configured", 0.1, "stereo-geometry"),
        ("replay", "waiting", 0.0, ""),
        ("replay", "waiting", 0.1, ""),
    ],
)
def test_a_second_ctrl_c_does_not_cut_the_clean_up_short(
    node: str, ready: str, pause: float, model: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", f"occdepth_ros.nodes.{node}.node", "--ros-args", "-p"]
    if node == "replay":
        sequences.kitti_odometry(tmp_path, 3)
        command.append(f"source:={tmp_path}")
    else:
        command.append(f"model:={model}")
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    watchdog = threading.Timer(300, process.kill)
    watchdog.start()
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if ready in line:
                break
        time.sleep(0.5)
        for _ in range(2):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(pause)
        lines += process.stdout.readlines()
        output = "".join(lines)
        assert process.wait() == 0, output
        assert "Traceback" not in output
        assert "terminate called" not in output
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


def test_no_signal_interrupts_a_clean_up_that_began_by_itself() -> None:
    code = (
        "import os, signal\n"
        "from occdepth_ros.nodes.signals import ignore_interrupts, interrupted_once\n"
        "with interrupted_once():\n"
        "    ignore_interrupts()\n"
        "    for number in (signal.SIGINT, signal.SIGTERM):\n"
        "        os.kill(os.getpid(), number)\n"
        "print('whole')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "whole\n"
