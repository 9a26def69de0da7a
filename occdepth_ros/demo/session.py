"""One run of the demo: starts the processes, observes the topics, then scores, draws and reports."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from PIL import Image as Figure
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rich.console import Console

from occdepth_ros.demo import report as demo_report
from occdepth_ros.demo.map_images import MapRecorder, draw_maps
from occdepth_ros.demo.observer import DEPTH, GRID, Observations, Observer
from occdepth_ros.demo.performance import METADATA, RealTime, table
from occdepth_ros.demo.playback import Playback
from occdepth_ros.errors import OccDepthError
from occdepth_ros.evaluation.ground_truth_scores import GroundTruthScores
from occdepth_ros.files import create_folder, whole_file, write_whole
from occdepth_ros.sources.base import StereoSource
from occdepth_ros.visualization import draw_frame, frame_title

MAX_IMAGES = 4
REAL_TIME = "real_time.json"


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
        create_folder(self.out)

    def run(self) -> int:
        """Run the demo.

        Raises:
            ProcessError: the node or the replay failed.
            OccDepthError: a topic had no message, or the results cannot be written.
        """
        stale_images = (*self.out.glob("frame_??????.png"), *self.out.glob("map_??????.png"))
        for stale in (*stale_images, self.out / "report.json", self.out / REAL_TIME):
            stale.unlink(missing_ok=True)
        began = time.monotonic()
        with observing() as (observer, node):
            # without poses the map is not updated, and the node would report the missing transform
            recorder = None if self._is_without_poses else MapRecorder(node, plan=self.options.plan)
            playback = Playback(self.source, self.options, self.console, self.out, observer, node)
            seen = playback.play(self._silent)
        seconds = time.monotonic() - began
        scores = self._score_and_draw(seen)
        if recorder is not None:
            for frame, figure in draw_maps(recorder, self.source, seen.frame_of).items():
                self._save(f"map_{frame:06d}.png", figure)
        report = demo_report.build_report(seen, source=self.source.name, model=self.model, scores=scores)
        report["seconds"] = round(seconds, 2)
        self._write("report.json", report)
        self._write(REAL_TIME, self._real_time_fields(playback.runs))
        demo_report.print_report(report, self.console)
        self.console.print(table(playback.runs))
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

    def _silent(self, seen: Observations) -> list[str]:
        """Return the expected topics without a message; /tf is expected only if the sequence has poses."""
        unpublished = {"/tf"} if self._is_without_poses else set()
        return [name for name in seen.silent if name not in unpublished]

    def _score_and_draw(self, seen: Observations) -> dict[str, dict[str, float]]:
        """Score the received results and draw up to `MAX_IMAGES` of them, frames with ground truth first."""
        results = {seen.frame_of[stamp]: messages for stamp, messages in seen.kept.items() if GRID in messages}
        ground_truths = {frame: self.source.ground_truth(frame) for frame in sorted(results)}
        drawn = sorted(results, key=lambda frame: (ground_truths[frame] is None, frame))[:MAX_IMAGES]
        statistics = GroundTruthScores()
        for frame, messages in sorted(results.items()):
            prediction = demo_report.prediction_from_messages(messages[GRID], messages.get(DEPTH), self.source.rig)
            scores = statistics.add(prediction, ground_truths[frame])
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
        return statistics.summary()

    def _real_time_fields(self, runs: Mapping[str, RealTime]) -> dict[str, Any]:
        """Return the fields of all replays: those of the highest rate, and a mapping of fields for each other rate."""
        fields: dict[str, Any] = {}
        for heading, run in runs.items():
            if heading.startswith("highest"):
                fields |= run.fields
            else:
                fields[f"{float(heading.removesuffix(' Hz'))}fps"] = run.fields
        metadata = {
            "NAME": f"occdepth_ros {self.model}",
            "TEST_DATETIME": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "DEVICE_ARCH": platform.machine(),
            "DEVICE_OS": f"{platform.system()} {platform.release()}",
            "INPUT_DATA_PATH": self.source.name,
        }
        fields["metadata"] = {METADATA + name: value for name, value in metadata.items()}
        fields["metadata"] |= {"model": self.model, "cores": os.cpu_count()}
        return fields

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_whole(self.out / name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())

    def _save(self, name: str, image: npt.NDArray[np.uint8]) -> None:
        with whole_file(self.out / name) as partial:
            Figure.fromarray(image).save(partial, compress_level=4)


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
