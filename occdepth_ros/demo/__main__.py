"""The demo: replay and node as two processes over DDS, and this process as the listener.

`python -m occdepth_ros.demo [--source PATH] [--model NAME] [--weights FILE] [--count N] [--rate R] [--out DIR]`
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from occdepth_ros.errors import CheckpointError, ModelError, OccDepthError, SourceError
from occdepth_ros.models.registry import DEFAULT_MODEL, MODELS
from occdepth_ros.nodes.middleware import large_message_environment
from occdepth_ros.sources import open_source
from occdepth_ros.sources.base import StereoSource


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when every topic of the contract spoke and no process failed."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        source = check(options)
        isolate()
        # only now: importing ROS takes a second that a mistyped path need not wait for
        from occdepth_ros.demo.session import Session

        return Session(source, options, Console()).run()
    except OccDepthError as error:
        _complain(f"demo: {error}")
        return 1
    except OSError as error:
        _complain(f"demo: {error.filename or options.out}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _complain("demo: interrupted; replay and node are stopped")
        return 130


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="demo", description="Replay stereo frames into the live node and look at it.")
    add = parser.add_argument
    add("--source", type=Path, metavar="PATH", help="KITTI sequence, raw drive, folder (default: the bundled sample)")
    add("--model", metavar="NAME", default=DEFAULT_MODEL, help=f"one of {', '.join(MODELS)} (default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint of the model")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--count", type=int, metavar="N", help="number of pairs (default: 6 to 30 s of the sequence, repeated)")
    add("--rate", type=float, metavar="R", default=1.0, help="speed of the replay (default: 1, real time)")
    add("--out", type=Path, metavar="DIR", default=Path("out/demo"), help="report and images (default: %(default)s)")
    return parser.parse_args(arguments)


def check(options: argparse.Namespace) -> StereoSource:
    """Everything that can be wrong before a process starts.

    Raises:
        ModelError: there is no such model.
        CheckpointError: its weights are missing.
        SourceError: the source, the count or the rate cannot be used.
    """
    entry = MODELS.get(options.model)
    if entry is None:
        choice = f"Choose one of {', '.join(MODELS)}."
        raise ModelError(f"there is no model {options.model!r}", where="--model", remedy=choice)
    if options.weights is not None and str(options.weights) != "random" and not options.weights.is_file():
        raise CheckpointError("there is no such file", where=str(options.weights), remedy="Give a checkpoint file.")
    if options.weights is None and entry.needs_weights:
        remedy = f"Give --weights FILE, or take --model {DEFAULT_MODEL}."
        raise CheckpointError(f"the model {options.model} needs weights", where="--weights", remedy=remedy)
    if options.count is not None and options.count < 1:
        raise SourceError(f"{options.count} pairs are none", where="--count", remedy="Give 1 or more.")
    if not (math.isfinite(options.rate) and options.rate > 0):
        raise SourceError(f"the speed {options.rate} is not positive", where="--rate", remedy="1 is real time.")
    return open_source(options.source)


def isolate() -> None:
    """Keep to this machine, away from other systems on it unless a domain was chosen, and let images pass whole."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    # 0 to 101 are free of port conflicts on every system; 0 is what everybody else uses
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))
    os.environ.update(large_message_environment())


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(message: str) -> None:
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
