"""One run of the demo: starts the processes, observes the topics, then scores, draws and reports."""

from __future__ import annotations

import argparse
import json
import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Thread

import numpy as np
import numpy.typing as npt
import rclpy
from PIL import Image as Figure
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rich.console import Console

from occdepth_ros.demo import report as demo_report
from occdepth_ros.demo.map_images import GRID_2D, PATH, MapRecorder, draw_maps
from occdepth_ros.demo.observer import DEPTH, GRID, LEFT, Observations, Observer
from occdepth_ros.demo.processes import Child, ProcessError
from occdepth_ros.errors import OccDepthError, OutputError
from occdepth_ros.evaluation.tally import GroundTruthScores
from occdepth_ros.files import whole_file, write_whole
from occdepth_ros.sources.base import StereoSource
from occdepth_ros.visualization import draw_frame, frame_title

START_PATIENCE_S = 90.0
"""Time limit for loading the model and subscribing, seconds."""
SETTLE_S = 10.0
"""Minimum time to wait for the last results after the last pair, seconds."""
SLOWEST_FIRST_MS = 15000.0
"""Assumed latency of the first pair if no result has been received, milliseconds."""
MODEL_STATUS = "/stereo_occ: model"
LEAST_S, MOST_S = 6.0, 30.0
"""Range of the duration of a demo, seconds. A shorter sequence is repeated, so that the rates become stable; a longer
sequence is truncated."""
MAX_IMAGES = 4


class Session:
    """A demo of one source with one model.

    Args:
        source: the replayed sequence.
        options: the command line of `occdepth_ros.demo`.
        console: output of progress and tables.
    """

    def __init__(self, source: StereoSource, options: argparse.Namespace, console: Console) -> None:
        self.source = source
        self.options = options
        self.console = console
        self.out = Path(options.out)
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot create the folder: {error.strerror}", where=str(self.out), remedy="Give another --out."
            ) from error
        self.pairs = options.count or default_pairs(len(source), max(source.period_s() / options.rate, 1e-3))
        self.frames = range(min(self.pairs, len(source)))

    def run(self) -> int:
        """Run the demo.

        Raises:
            ProcessError: the node or the replay failed.
            OccDepthError: a topic had no message, or the results cannot be written.
        """
        for stale in (*self.out.glob("frame_??????.png"), *self.out.glob("map_??????.png"), self.out / "report.json"):
            stale.unlink(missing_ok=True)
        began = time.monotonic()
        with observing() as (observer, node):
            # without poses nothing is fused, and the node would report the missing transform
            recorder = None if self._is_without_poses else MapRecorder(node, plan=self.options.plan)
            self._play(observer, node)
        seen = observer.seen
        seconds = time.monotonic() - began
        scores = self._score_and_draw(seen)
        if recorder is not None:
            for frame, figure in draw_maps(recorder, self.source, seen.frame_of).items():
                self._save(f"map_{frame:06d}.png", figure)
        report = demo_report.build_report(seen, source=self.source.name, model=self.model, scores=scores)
        report["seconds"] = round(seconds, 2)
        text = json.dumps(report, indent=2, allow_nan=False) + "\n"
        write_whole(self.out / "report.json", text.encode())
        demo_report.print_report(report, self.console)
        if recorder is not None and self.options.plan:
            planned = f"{recorder.planned} of {len(recorder.paths)} kept ones lead to the goal"
            self.console.print(f"planner: {recorder.received} paths received, {planned}", soft_wrap=True)
        drawn = sorted(self.out.glob("*.png"))
        self.console.print(f"report and {len(drawn)} images in {self.out}", soft_wrap=True)
        silent = self._silent(seen)
        if silent:
            raise OccDepthError(
                demo_report.silent_sentence(silent), where="topics", remedy=f"See the logs in {self.out}."
            )
        return 0

    @property
    def model(self) -> str:
        """Name of the requested model."""
        return str(self.options.model)

    @property
    def _is_without_poses(self) -> bool:
        return self.source[0].world_from_grid is None

    def _settled(self, seen: Observations) -> bool:
        """Whether a grid for the newest pair and a message of every topic were received."""
        return max(seen.paired, default=None) in seen.answered and not self._silent(seen)

    def _silent(self, seen: Observations) -> list[str]:
        """Expected topics without a message; /tf is expected only if the sequence has poses."""
        mute = {"/tf"} if self._is_without_poses else set()
        return [name for name in seen.silent if name not in mute]

    def _introduce_frames(self, observer: Observer) -> None:
        """Register the left images of all frames, in each channel order, and their ground truth with the observer."""
        for i in self.frames:
            frame = self.source[i]
            for sent in (frame.left, frame.left[..., ::-1], *([frame.left[..., 0]] if frame.grey else [])):
                observer.frame_of_image[zlib.crc32(sent.tobytes())] = i
            if self.source.ground_truth(i) is not None:
                observer.with_ground_truth.add(i)

    def _play(self, observer: Observer, node: Node) -> None:
        with Child(
            "stereo_occ", "occdepth_ros.nodes.stereo_occ.node", self._node_arguments(), self.out / "node.log"
        ) as live:

            def wait(reached: Callable[[], bool], patience_s: float, what: str, *others: Child) -> bool:
                return self._wait(reached, patience_s, (live, *others), what, observer.seen)

            def listening() -> bool:
                # this process is the first subscriber, the node is the second
                return node.count_subscribers(LEFT) > 1

            # the node loads its model at the same time
            self._introduce_frames(observer)
            errors = observer.seen.errors
            if not wait(lambda: listening() or MODEL_STATUS in errors, START_PATIENCE_S, f"loading {self.model}"):
                raise live.failure(f"the node did not subscribe within {START_PATIENCE_S:.0f} s")
            if MODEL_STATUS in errors:
                raise ProcessError(errors[MODEL_STATUS].rstrip("."), where="model", remedy=f"Its log is {live.log}.")
            arguments = self._replay_arguments()
            with (
                self._planner() as planner,
                Child("replay", "occdepth_ros.nodes.replay.node", arguments, self.out / "replay.log") as replay,
            ):
                others = [replay] if planner is None else [replay, planner]
                limit = START_PATIENCE_S + 3 * self.pairs * self.source.period_s() / self.options.rate
                if not wait(lambda: replay.exit_code is not None, limit, f"replaying {self.source.name}", *others):
                    raise replay.failure(f"the replay did not end within {limit:.0f} s")
                slowest = max(observer.seen.latency_ms[GRID], default=SLOWEST_FIRST_MS) / 1e3
                wait(lambda: self._settled(observer.seen), max(SETTLE_S, 4 * slowest), "waiting for the last results")
            live.check()

    def _planner(self) -> AbstractContextManager[Child | None]:
        if not self.options.plan:
            return nullcontext()
        arguments = ros_arguments({"robot_frame": self.source.grid_frame})
        for name, topic in (("occupancy_grid", GRID_2D), ("path", PATH)):
            arguments += ["-r", f"{name}:={topic}"]
        return Child("planner", "occdepth_ros.nodes.planner.node", arguments, self.out / "planner.log")

    def _node_arguments(self) -> list[str]:
        values = {"model": self.model, "device": self.options.device, "fallback": "false"}
        if self.options.weights is not None:
            weights = Path(self.options.weights)
            values["weights"] = str(weights.resolve() if weights.is_file() else weights)
        values["grid_frame"] = self.source.grid_frame
        return ros_arguments(values)

    def _replay_arguments(self) -> list[str]:
        values = {
            "rate": str(float(self.options.rate)),
            "count": str(self.pairs),
            "stamps": "now",
            "wait_for_subscribers": "2",
        }
        if self.options.source is not None:
            values["source"] = str(Path(self.options.source).absolute())
        return ros_arguments(values)

    def _wait(
        self,
        reached: Callable[[], bool],
        patience_s: float,
        children: tuple[Child, ...],
        what: str,
        seen: Observations,
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
                if seen.paired:
                    status.update(f"{what}: {progress(seen, self.pairs)}")
                time.sleep(0.1)
        return reached()

    def _score_and_draw(self, seen: Observations) -> dict[str, dict[str, float]]:
        """Score the received results and draw up to `MAX_IMAGES` of them, frames with ground truth first."""
        results = {seen.frame_of[stamp]: messages for stamp, messages in seen.kept.items() if GRID in messages}
        ground_truths = {frame: self.source.ground_truth(frame) for frame in sorted(results)}
        drawn = sorted(results, key=lambda frame: (ground_truths[frame] is None, frame))[:MAX_IMAGES]
        tally = GroundTruthScores()
        for frame, messages in sorted(results.items()):
            prediction = demo_report.prediction_from_messages(messages[GRID], messages.get(DEPTH), self.source.rig)
            scores = tally.add(prediction, ground_truths[frame])
            if frame in drawn:
                pair = self.source[frame]
                title = frame_title(self.source.name, pair.name)
                images = draw_frame(
                    prediction,
                    pair.left,
                    self.source.rig,
                    title=title,
                    ground_truth=ground_truths[frame],
                    scores=scores,
                )
                self._save(f"frame_{frame:06d}.png", images.overview)
                if frame == drawn[0]:
                    for name, panel in images.panels.items():
                        self._save(f"{name}.png", panel)
        return tally.summary()

    def _save(self, name: str, image: npt.NDArray[np.uint8]) -> None:
        with whole_file(self.out / name) as partial:
            Figure.fromarray(image).save(partial, compress_level=4)


def default_pairs(frames: int, period_s: float) -> int:
    """Return the default number of pairs of a demo; a short sequence is repeated as a whole."""
    laps = max(1, math.ceil(LEAST_S / (frames * period_s)))
    return min(frames * laps, max(1, round(MOST_S / period_s)))


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


@contextmanager
def observing() -> Iterator[tuple[Observer, Node]]:
    """Create a ROS context with an `Observer` that runs in its own thread."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = Node("occdepth_demo", context=context, enable_rosout=False, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    observer = Observer(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            return

    thread = Thread(target=spin, name="observer", daemon=True)
    thread.start()
    try:
        yield observer, node
    finally:
        executor.shutdown()
        thread.join(5.0)
        node.destroy_node()
        context.try_shutdown()
