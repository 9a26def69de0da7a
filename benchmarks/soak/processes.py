"""Processes of the soak: nodes started as `ros2 run` starts them."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from occdepth_ros.nodes.middleware import large_message_environment

OVERRIDES: dict[str, str] = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


class NodeProcess:
    """A node in a separate process group.

    Args:
        node: `stereo_occ` or `replay`.
        log: file for its output.
        domain: ROS domain.
        parameters: parameters of the node.
    """

    def __init__(self, node: str, log: Path, domain: int, **parameters: Any) -> None:
        self.log = log
        command = [sys.executable, "-m", "occdepth_ros.nodes.start", node, "--ros-args"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else value
            command += ["-p", f"{name}:={text}"]
        environment = {**os.environ, **OVERRIDES, **large_message_environment(), "ROS_DOMAIN_ID": str(domain)}
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                command, env=environment, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
            )
        # an interrupted soak leaves no node behind
        atexit.register(self.end)

    def text(self) -> str:
        """Return the log."""
        return self.log.read_text(errors="replace")

    def end(self, number: signal.Signals = signal.SIGINT, timeout: float = 60.0) -> int:
        """Send a signal and return the exit code; -9 after the time limit."""
        atexit.unregister(self.end)
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
