"""Start of a node in a process, as `ros2 run` and the launch files do; also `python -m occdepth_ros.nodes.start NODE`.

Importing a node takes seconds. A signal in this time ends the process with exit code 0: there is nothing to clean up.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

from occdepth_ros.nodes.signals import DEFAULTS, SIGNALS


def start(node: str, arguments: Sequence[str] | None = None) -> int:
    """Import a node and run its `main`.

    Args:
        node: `stereo_occ`, `replay` or `planner`.
        arguments: command line of the node; None = command line of the process.

    Returns:
        exit code.
    """
    replaced = [
        (number, default)
        for number, default in zip(SIGNALS, DEFAULTS, strict=True)
        if signal.getsignal(number) == default
    ]
    for number, _ in replaced:
        signal.signal(number, _end)
    main = import_module(f"occdepth_ros.nodes.{node}.node").main
    for number, default in replaced:
        signal.signal(number, default)
    return int(main(arguments))


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(0)


if __name__ == "__main__":
    chosen = sys.argv.pop(1)
    sys.exit(start(chosen))
