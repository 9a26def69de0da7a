"""Entry point of the demo: starts the replay and the node as two processes over DDS and subscribes to all topics.

`python -m occdepth_ros.demo [--source PATH] [--model NAME] [--weights FILE] [--count N] [--rate R] [--plan] [--peak]
[--grid-origin X Y Z] [--out D]`
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
    """Run the demo.

    Returns:
        0 if every topic of the contract had a message and no process failed, 1 after an error, 130 after Ctrl-C.
    """
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        source = check(options)
        isolate()
        # imported after the checks, because importing ROS takes about a second
        from occdepth_ros.demo.session import Session

        return Session(source, options, Console()).run()
    except OccDepthError as error:
        _print_error(f"demo: {error}")
        return 1
    except OSError as error:
        _print_error(f"demo: {error.filename or options.out}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _print_error("demo: interrupted; the replay and the node were stopped")
        return 130


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; None takes the arguments of the process."""
    parser = argparse.ArgumentParser(
        prog="demo", description="Replay stereo frames to the live node and report its outputs."
    )
    add = parser.add_argument
    add("--source", type=Path, metavar="PATH", help="KITTI sequence, raw drive, folder (default: the bundled sample)")
    add("--model", metavar="NAME", default=DEFAULT_MODEL, help=f"one of {', '.join(MODELS)} (default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint of the model")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--count", type=int, metavar="N", help="number of pairs (default: 10 to 30 s of the sequence, repeated)")
    add("--rate", type=float, metavar="R", default=1.0, help="speed of the replay (default: 1, real time)")
    add("--plan", action="store_true", help="run the example planner on the map and draw its path in the images")
    add("--peak", action="store_true", help="also replay at 10 Hz, and at rates up to the highest that holds")
    add(
        "--grid-origin",
        nargs=3,
        type=float,
        metavar=("X", "Y", "Z"),
        help="lower corner of the voxel grid in the grid's frame, m (default: that of the node)",
    )
    add("--out", type=Path, metavar="DIR", default=Path("out/demo"), help="report and images (default: %(default)s)")
    return parser.parse_args(arguments)


def check(options: argparse.Namespace) -> StereoSource:
    """Check the command line and open the source before a process starts.

    Raises:
        ModelError: `--model` is not the name of a model.
        CheckpointError: the weights of the model are missing.
        SourceError: the source, the count or the rate is invalid.
    """
    entry = MODELS.get(options.model)
    if entry is None:
        choice = f"Choose one of {', '.join(MODELS)}."
        raise ModelError(f"there is no model {options.model!r}", where="--model", remedy=choice)
    if options.weights is not None and str(options.weights) != "random" and not options.weights.is_file():
        raise CheckpointError("there is no such file", where=str(options.weights), remedy="Give a checkpoint file.")
    if options.weights is None and entry.needs_weights:
        remedy = f"Give --weights FILE, or choose --model {DEFAULT_MODEL}."
        raise CheckpointError(f"the model {options.model} needs weights", where="--weights", remedy=remedy)
    if options.count is not None and options.count < 1:
        raise SourceError(
            f"the number of pairs, {options.count}, is not positive", where="--count", remedy="Give 1 or more."
        )
    if not (math.isfinite(options.rate) and options.rate > 0):
        raise SourceError(
            f"the speed {options.rate} is not positive", where="--rate", remedy="Give a number above 0; 1 is real time."
        )
    source = open_source(options.source)
    if options.plan and source[0].world_from_grid is None:
        raise SourceError(
            "the sequence has no poses, so there is no map to plan on",
            where="--plan",
            remedy="Give a --source with poses, or leave --plan out.",
        )
    return source


def isolate() -> None:
    """Set the ROS environment of the demo.

    Discovery is limited to this machine. The domain differs from that of other systems unless ROS_DOMAIN_ID is set. The
    middleware is configured for messages of the size of images.
    """
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    # domains 0 to 101 have no port conflicts on any system; 0 is the default of other ROS systems
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))
    os.environ.update(large_message_environment())


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _print_error(message: str) -> None:
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
