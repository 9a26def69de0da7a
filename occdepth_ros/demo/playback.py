"""The processes of the demo: node, planner, and successive replays, with observation of the topics."""

from __future__ import annotations

import argparse
import math
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rclpy.node import Node
from rich.console import Console

from occdepth_ros.demo.load import LoadSampler
from occdepth_ros.demo.map_images import GRID_2D, PATH
from occdepth_ros.demo.observer import GRID, LEFT, Observations, Observer
from occdepth_ros.demo.peak import highest_rate
from occdepth_ros.demo.performance import RealTime
from occdepth_ros.demo.processes import Child, ProcessError
from occdepth_ros.sources.base import StereoSource

START_PATIENCE_S = 90.0
"""Time limit for loading the model and subscribing, seconds."""
SETTLE_S = 10.0
"""Minimum time to wait for the last results after the last pair, seconds."""
SLOWEST_FIRST_MS = 15000.0
"""Assumed latency of the first pair if no result has been received, milliseconds."""
MODEL_STATUS = "/stereo_occ: model"
MIN_DURATION_S, MAX_DURATION_S = 10.0, 30.0
"""Range of the duration of a demo, seconds. A shorter sequence is repeated, because the first pair, which takes half a
second, would lower the rates of a few seconds; a longer one is truncated."""
FIXED_HZ = 10.0
TRIAL_S, MIN_PAIRS, MAX_PAIRS = 8.0, 20, 300
"""Duration of the replay at one rate, seconds, and its range of pairs."""


class Playback:
    """Starts the node, replays the source, and measures each replay.

    Args:
        source: the replayed sequence.
        options: the command line of `occdepth_ros.demo`.
        console: output of the progress.
        out: folder of the logs.
        observer, node: observer and its node.
    """

    def __init__(
        self,
        source: StereoSource,
        options: argparse.Namespace,
        console: Console,
        out: Path,
        observer: Observer,
        node: Node,
    ) -> None:
        self.source = source
        self.options = options
        self.console = console
        self.out = out
        self.observer = observer
        self.node = node
        self.period_s = max(source.period_s(), 1e-3)
        self.pairs = options.count or default_pairs(len(source), self.period_s / options.rate)
        self.frames = range(min(self.pairs, len(source)))
        self.runs: dict[str, RealTime] = {}
        """Figures of each replay by heading: "9.6 Hz", and with --peak also "10 Hz" and "highest: 14.2 Hz"."""

    def play(self, silent: Callable[[Observations], list[str]]) -> Observations:
        """Replay the source at the requested speed; with --peak, then at 10 Hz and at rates up to the highest sustained
        one.

        Args:
            silent: returns the expected topics without a message.

        Returns:
            the observations of the first replay.

        Raises:
            ProcessError: the node, the planner or a replay failed.
        """
        arguments = self._node_arguments()
        with Child("stereo_occ", "occdepth_ros.nodes.stereo_occ.node", arguments, self.out / "node.log") as live:
            # the node loads its model in the meantime
            self._register_frames()
            self._wait_for_node(live)
            rate = self.options.rate / self.period_s

            def settled(seen: Observations) -> bool:
                return max(seen.paired, default=None) in seen.answered and not silent(seen)

            with self._planner() as planner:
                others = (live,) if planner is None else (live, planner)
                self.runs[f"{rate:.3g} Hz"] = self._replay(others, self.pairs, self.options.rate, settled)
            seen = self.observer.seen
            if self.options.peak:
                self._measure_rates(live, seen)
            live.check()
        return seen

    def _measure_rates(self, live: Child, seen: Observations) -> None:
        def trial(hz: float) -> RealTime:
            self.observer.restart()
            pairs = min(max(math.ceil(TRIAL_S * hz), MIN_PAIRS), MAX_PAIRS)
            return self._replay(
                (live,), pairs, hz * self.period_s, lambda now: max(now.paired, default=0) in now.answered
            )

        heading = f"{FIXED_HZ:.3g} Hz"
        if heading not in self.runs:
            self.runs[heading] = trial(FIXED_HZ)
        fixed = self.runs[heading]
        times = sorted(seen.stages_ms["total"]) or [1e3 / FIXED_HZ]
        best = highest_rate(trial, 1e3 / times[len(times) // 2])
        if best is None and fixed.holds:
            best = fixed
        self.runs["highest: none holds" if best is None else f"highest: {best.sent_hz:.3g} Hz"] = best or RealTime({})

    def _replay(
        self, others: tuple[Child, ...], pairs: int, speed: float, settled: Callable[[Observations], bool]
    ) -> RealTime:
        """Replay `pairs` pairs at a speed and wait until `settled` returns True: all results have been received."""
        arguments = self._replay_arguments(pairs, speed)
        seen = self.observer.seen
        with (
            Child("replay", "occdepth_ros.nodes.replay.node", arguments, self.out / "replay.log") as replay,
            LoadSampler(others[0].process.pid) as load,
        ):
            what = f"replaying {pairs} pairs of {self.source.name} at {speed / self.period_s:.3g} Hz"
            limit = START_PATIENCE_S + 3 * pairs * self.period_s / speed
            if not self._wait(lambda: replay.exit_code is not None, limit, (*others, replay), what, pairs):
                raise replay.failure(f"the replay did not end within {limit:.0f} s")
            slowest = max(seen.latency_ms[GRID], default=SLOWEST_FIRST_MS) / 1e3
            patience = max(SETTLE_S, 4 * slowest)
            self._wait(lambda: settled(seen), patience, (*others, replay), "waiting for the last results", pairs)
        return RealTime.of(seen, load.samples)

    def _wait_for_node(self, live: Child) -> None:
        errors = self.observer.seen.errors
        model = self.options.model

        def ready() -> bool:
            # this process is the first subscriber, the node is the second
            return self.node.count_subscribers(LEFT) > 1 or MODEL_STATUS in errors

        if not self._wait(ready, START_PATIENCE_S, (live,), f"loading {model}", self.pairs):
            raise live.failure(f"the node did not subscribe within {START_PATIENCE_S:.0f} s")
        if MODEL_STATUS in errors:
            raise ProcessError(errors[MODEL_STATUS].rstrip("."), where="model", remedy=f"Its log is {live.log}.")

    def _register_frames(self) -> None:
        """Register the left images of all frames, in each channel order, and their ground truth with the observer."""
        for i in self.frames:
            frame = self.source[i]
            for sent in (frame.left, frame.left[..., ::-1], *([frame.left[..., 0]] if frame.grey else [])):
                self.observer.frame_of_image[zlib.crc32(sent.tobytes())] = i
            if self.source.ground_truth(i) is not None:
                self.observer.with_ground_truth.add(i)

    def _planner(self) -> AbstractContextManager[Child | None]:
        if not self.options.plan:
            return nullcontext()
        arguments = ros_arguments({"robot_frame": self.source.grid_frame})
        for name, topic in (("occupancy_grid", GRID_2D), ("path", PATH)):
            arguments += ["-r", f"{name}:={topic}"]
        return Child("planner", "occdepth_ros.nodes.planner.node", arguments, self.out / "planner.log")

    def _node_arguments(self) -> list[str]:
        values = {"model": self.options.model, "device": self.options.device, "fallback": "false"}
        if self.options.weights is not None:
            weights = Path(self.options.weights)
            values["weights"] = str(weights.resolve() if weights.is_file() else weights)
        values["grid_frame"] = self.source.grid_frame
        if self.options.grid_origin is not None:
            values["grid_origin"] = str([float(value) for value in self.options.grid_origin])
        return ros_arguments(values)

    def _replay_arguments(self, pairs: int, speed: float) -> list[str]:
        values = {"rate": str(float(speed)), "count": str(pairs), "stamps": "now", "wait_for_subscribers": "2"}
        if self.options.source is not None:
            values["source"] = str(Path(self.options.source).absolute())
        return ros_arguments(values)

    def _wait(
        self, reached: Callable[[], bool], patience_s: float, children: tuple[Child, ...], what: str, pairs: int
    ) -> bool:
        """Wait until `reached` returns True or `patience_s` has passed; checks the children and prints the progress.

        Returns:
            the last value of `reached`.

        Raises:
            ProcessError: a child failed.
        """
        began = time.monotonic()
        if not self.console.is_terminal:
            self.console.print(what)
        with self.console.status(what) as status:
            while time.monotonic() - began < patience_s:
                for child in children:
                    child.check()
                if reached():
                    return True
                if self.observer.seen.paired:
                    status.update(f"{what}: {progress(self.observer.seen, pairs)}")
                time.sleep(0.1)
        return reached()


def default_pairs(frames: int, period_s: float) -> int:
    """Return the default number of pairs of a demo; a short sequence is repeated as a whole."""
    laps = max(1, math.ceil(MIN_DURATION_S / (frames * period_s)))
    return min(frames * laps, max(1, round(MAX_DURATION_S / period_s)))


def progress(seen: Observations, pairs: int) -> str:
    """Return one line with the numbers of pairs and grids, the rate and the latency."""
    latest = seen.latency_ms[GRID][-1:]
    late = f", latency {latest[0]:.0f} ms" if latest else ""
    return f"{len(seen.paired)} of {pairs} pairs, {len(seen.answered)} grids, {seen.topics[GRID].hz:.1f} Hz{late}"


def ros_arguments(values: dict[str, str]) -> list[str]:
    """Return the ROS command-line arguments that set these parameters."""
    arguments = ["--ros-args"]
    for name, value in values.items():
        arguments += ["-p", f"{name}:={value}"]
    return arguments
