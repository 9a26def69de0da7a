"""Checks of a stereo rig in a recording, or in topics that are recorded for it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from occdepth_ros.commands.doctor.findings import Finding, State
from occdepth_ros.commands.doctor.rig_findings import (
    calibration_finding,
    coverage_finding,
    match_findings,
    pose_findings,
)
from occdepth_ros.commands.options.grid import chosen_grid
from occdepth_ros.commands.options.source import measured_ground
from occdepth_ros.errors import CalibrationError, OccDepthError, SourceError
from occdepth_ros.files import whole_file
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources import SourceOptions, StereoFrame, StereoSource, open_source
from occdepth_ros.sources.factory import check_source
from occdepth_ros.sources.grid_frames import is_base_frame
from occdepth_ros.stereo.calibration.extrinsics_checks import check_view
from occdepth_ros.stereo.rig_assessment.assessment import PairMatches, assess_rig, match_pair
from occdepth_ros.visualization.rig_figure import rig_figure

MATCHED_PAIRS = 10
"""Number of pairs in which features are matched, spread over the duration."""
MAX_STEP = 0.3
"""Longest time between two left images from which the image velocity is measured, seconds."""
RECORDER = "occdepth_ros.nodes.rig_recorder"


def examine(arguments: argparse.Namespace) -> Iterator[Finding]:
    """Open the source and check it.

    Raises:
        OccDepthError: the source cannot be opened, or no topics arrive.
    """
    if not 0 < arguments.seconds <= 3600:
        raise SourceError(f"{arguments.seconds:g} s is out of range", where="--seconds", remedy="Give up to 3600.")
    options = SourceOptions(arguments.topics, arguments.left, arguments.right, arguments.grid_frame)
    if not arguments.live:
        yield from _examine(arguments.source, options, arguments)
        return
    if arguments.source is not None:
        raise SourceError("a source and --live exclude each other", where="--live", remedy="Leave one out.")
    with _recorded(options, arguments.seconds) as bag:
        yield from _examine(bag, options, arguments)


@contextmanager
def _recorded(options: SourceOptions, seconds: float) -> Iterator[Path]:
    """Record the topics with a ROS process; the bag is deleted at the end.

    Raises:
        SourceError: ROS is missing, or no topics arrive.
    """
    with tempfile.TemporaryDirectory(prefix="occdepth-rig-") as folder:
        bag = Path(folder) / "bag"
        topics = [topic for topic in (options.left, options.right) if topic] or [options.topics]
        command = [sys.executable, "-m", RECORDER, str(bag), f"{seconds:g}", *topics]
        ended = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
        if ended.returncode:
            reason = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
            raise SourceError(
                f"the topics were not recorded ({reason})",
                where="--live",
                remedy="Source ROS 2, start the cameras, and give --left and --right.",
            )
        yield bag


def _examine(path: Path | None, options: SourceOptions, arguments: argparse.Namespace) -> Iterator[Finding]:
    try:
        source = open_source(path, options, check=False)
    except CalibrationError as error:
        yield Finding("calibration", State.WRONG, f"{error.where}: {error.what}", error.remedy)
        return
    about = source.description
    yield Finding("images", State.OK, " ".join(part for part in (about.images or source.name, about.choice) if part))
    grid = chosen_grid(arguments, source.grid_frame)
    yield from _calibration(source, grid)
    frames = _first_frames(source, arguments.seconds)
    yield Finding("duration", State.OK, f"{frames} of {len(source)} pairs, {frames * source.period_s():.1f} s")
    shown, matches = _matches(source, frames)
    found = assess_rig(matches, source.rig)
    yield from match_findings(found)
    measured = measured_ground(source, range(frames))
    yield coverage_finding(source.rig, grid, measured)
    is_base = is_base_frame(grid.frame_id)
    yield from pose_findings(source.rig, grid, measured, is_base=is_base)
    for warning in source.description.warnings:
        yield Finding(warning.name, State.NOTE, warning.what, warning.remedy)
    image: Path | None = arguments.image
    if image is not None and shown is not None:
        pair = next((m for m in matches if len(m.left)), None)
        with whole_file(image) as partial:
            rig_figure(shown, pair, source.rig, grid, measured, is_base=is_base).save(partial)
        yield Finding("image", State.OK, f"matches with row offsets, ground measured and stated: {image}")


def _calibration(source: StereoSource, grid: VoxelGrid) -> Iterator[Finding]:
    """Yield the findings on the calibration; the pose of an implausible calibration is checked as well."""
    try:
        check_source(source)
        warnings = check_view(source.rig, grid, source.name, is_base=is_base_frame(grid.frame_id))
        # the share in view has a finding of its own
        source.description = source.description.with_warnings(*(w for w in warnings if w.name == "camera_height"))
    except CalibrationError as error:
        yield Finding("calibration", State.WRONG, error.what, error.remedy)
    else:
        yield calibration_finding(source.rig, grid.resolution)


def _first_frames(source: StereoSource, seconds: float) -> int:
    """Return the number of pairs within the duration."""
    period = source.period_s()
    return len(source) if period <= 0 else max(1, min(len(source), round(seconds / period)))


def _matches(source: StereoSource, frames: int) -> tuple[StereoFrame | None, list[PairMatches]]:
    """Match features in some of the pairs; the first readable pair, and the matches."""
    shown: StereoFrame | None = None
    matches: list[PairMatches] = []
    last = max(frames - 2, 0)
    for index in np.unique(np.linspace(0, last, MATCHED_PAIRS).round().astype(int)):
        try:
            frame = source[int(index)]
            later = source[int(index) + 1] if index + 1 < frames else None
        except (OccDepthError, OSError):  # damaged images are reported by the verbs that need every image
            continue
        step = (later.stamp_ns - frame.stamp_ns) * 1e-9 if later is not None else 0.0
        usable = later is not None and 0 < step <= MAX_STEP
        pair = match_pair(frame.left, frame.right, later.left if later is not None and usable else None, step)
        if shown is None or not matches or not len(matches[0].left):
            shown = frame
            matches.insert(0, pair)
        else:
            matches.append(pair)
    return shown, matches
