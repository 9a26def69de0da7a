"""The rig of a bag: choice among its stereo pairs, and the pose of the cameras in the grid's frame over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError, InputWarning, SourceError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.bags.tf import TransformTree
from occdepth_ros.sources.bags.topics import StereoTopics
from occdepth_ros.sources.grid_frames import GRID_FRAMES, grid_frame_candidates
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration
from occdepth_ros.stereo.calibration.checks import MAX_BASELINE
from occdepth_ros.stereo.calibration.extrinsics_checks import (
    OPTICAL_FROM_BODY,
    body_frame_warning,
    is_body_frame,
    share_in_view,
)

LEVEL = OPTICAL_FROM_BODY
"""Pose of the grid's frame in the optical frame of a level camera with its optical axis along x."""
MOVED = 1e-3
"""Change of the cameras' pose in the grid's frame that requires a new calibration: translation in metres, or an element
of the rotation matrix."""


@dataclass(frozen=True)
class Recording:
    """Result of one pass over a bag.

    Args:
        infos: first message of each CameraInfo topic.
        frames: frame of the first message of each image topic.
        tree: recorded TF.
        start_ns: time of the first image, nanoseconds.
        failed: reason for each CameraInfo topic whose first messages are not usable.
        changed: recording time of the first message that differs from the first one, for each such CameraInfo topic,
            nanoseconds.
    """

    infos: Mapping[str, CameraCalibration]
    frames: Mapping[str, str]
    tree: TransformTree
    start_ns: int = 0
    failed: Mapping[str, CalibrationError] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)

    def change_warnings(self, topics: StereoTopics) -> list[InputWarning]:
        """Warn if the calibration of a pair is unusable at first, or changes during the recording."""
        sides = (topics.left_info, topics.right_info)
        unusable = [
            InputWarning(
                "calibration_late",
                f"the first messages are not used: {self.failed[topic].what}",
                topic,
                "A later one is used for all images: check that the driver loads its calibration at the start.",
            )
            for topic in sides
            if topic in self.failed and topic in self.infos
        ]
        return unusable + [
            InputWarning(
                "calibration_changes",
                f"the calibration changes {(self.changed[topic] - self.start_ns) * 1e-9:.1f} s after the first image: "
                "the first one is used for all images",
                topic,
                "Split the recording there, or leave the later frames out with --count.",
            )
            for topic in sides
            if topic in self.changed
        ]


@dataclass
class GridPose:
    """Pose of the grid's frame in the left optical frame.

    Args:
        tree: recorded TF.
        camera_frame: frame of the left images.
        grid_frame: name of the grid's frame.
        connected: whether TF connects the two; otherwise the pose is `LEVEL`.
        body: whether the camera's frame is a body frame.
    """

    tree: TransformTree
    camera_frame: str
    grid_frame: str
    connected: bool
    body: bool = False
    warnings: list[InputWarning] = field(default_factory=list)

    @classmethod
    def find(cls, recording: Recording, topics: StereoTopics, requested: str = "") -> GridPose:
        """Find the grid's frame of a pair: the requested one, else the first of `GRID_FRAMES` that TF connects.

        Raises:
            SourceError: TF does not connect the requested frame with the camera.
        """
        tree, stamp = recording.tree, recording.start_ns
        frame = recording.frames.get(topics.left, "")
        of_info = recording.infos[topics.left_info].frame_id if topics.left_info in recording.infos else ""
        warnings = []
        if frame.lstrip("/") not in tree.frames and of_info.lstrip("/") in tree.frames:
            if frame:
                text = f"the images are in frame {frame!r}, which TF lacks, their CameraInfo in {of_info!r}"
                warnings.append(InputWarning("frame_id", f"{text}: the latter is used", topics.left))
            frame = of_info
        frame = frame or of_info
        if requested:
            matching = [name for name in tree.frames if name == requested.strip("/")]
            if not matching or tree.pose(frame, matching[0], stamp) is None:
                raise SourceError(
                    f"TF does not connect the grid frame {requested!r} with the camera's frame {frame!r} "
                    f"(frames: {_listed(sorted(tree.frames)) or 'no TF at all'})",
                    where=topics.left,
                    remedy="Give one of these frames with --grid-frame, or leave the option out.",
                )
            candidates = matching
        else:
            candidates = list(grid_frame_candidates(tree.frames))
        for name in candidates:
            pose = tree.pose(frame, name, stamp) if frame else None
            if pose is not None and name != frame.lstrip("/"):
                body = is_body_frame(pose)
                if body:
                    warnings.append(body_frame_warning(frame, pose))
                return cls(tree, frame, name, connected=True, body=body, warnings=warnings)
        known = _listed(sorted(tree.frames))
        if not known:
            text = "the recording has no TF" if not tree.warnings else "the recording has no usable TF"
        elif not frame:
            text = f"neither the left images nor their CameraInfo have a frame_id (frames of TF: {known})"
        else:
            text = f"TF does not connect the camera's frame {frame!r} with a known grid frame (frames: {known})"
        warnings.append(
            InputWarning(
                "no_tf",
                f"{text}: a level camera at the origin of the grid's frame {GRID_FRAMES[0]!r} is assumed",
                topics.left,
                "Record /tf and /tf_static, or choose a frame with --grid-frame.",
            )
        )
        return cls(tree, frame, GRID_FRAMES[0], connected=False, warnings=warnings)

    def at(self, stamp_ns: int) -> Matrix:
        """Return the pose at a time, `[4, 4]`."""
        pose = self.tree.pose(self.camera_frame, self.grid_frame, stamp_ns) if self.connected else None
        if pose is None:
            return LEVEL
        return OPTICAL_FROM_BODY @ pose if self.body else pose

    def right_camera(self, frame: str, stamp_ns: int) -> Matrix | None:
        """Return the pose of the frame of the right images in that of the left ones, `[4, 4]`; None where they have one
        frame, or TF does not connect them.
        """
        left, right = self.camera_frame.lstrip("/"), frame.lstrip("/")
        return self.tree.pose(left, right, stamp_ns) if left and right and left != right else None

    @property
    def source(self) -> str:
        """Origin of the pose, for reports."""
        if not self.connected:
            return "the assumption of a level camera at the grid's origin"
        moving = " (moving)" if self.tree.changing_links(self.camera_frame, self.grid_frame) else ""
        return f"TF{moving}, {self.camera_frame} in {self.grid_frame}"

    def moves(self, stamps_ns: Sequence[int]) -> bool:
        """Return whether the pose changes between the given times by more than `MOVED`."""
        if not self.connected or not self.tree.changing_links(self.camera_frame, self.grid_frame):
            return False
        first = self.at(stamps_ns[0])
        return any(np.abs(self.at(stamp) - first).max() > MOVED for stamp in stamps_ns[1:])

    def gaps(self, stamps_ns: Sequence[int]) -> list[InputWarning]:
        """Warn if images were taken long before or after the recorded transforms of a moving frame."""
        tree, frame = self.tree, self.grid_frame
        links = tree.changing_links(self.camera_frame, frame) if self.connected else []
        # poses of the grid's frame in a fixed frame, for maps
        links += [link for link in tree.changing_links(tree.root(frame), frame) if link not in links]
        return [warning for link in links for warning in tree.gap_warnings(link, stamps_ns)]


@dataclass(frozen=True)
class ChosenPair:
    """A stereo pair of a bag.

    Args:
        topics: its topics.
        infos: calibrations of left and right.
        pose: the grid's pose.
        choice: why it was chosen, empty if it is the only one.
        warnings: warnings about the choice.
    """

    topics: StereoTopics
    infos: tuple[CameraCalibration, CameraCalibration]
    pose: GridPose
    choice: str = ""
    warnings: tuple[InputWarning, ...] = ()


@dataclass(frozen=True)
class _Rated:
    topics: StereoTopics
    pose: GridPose
    baseline: float
    share: float

    @property
    def plausible(self) -> bool:
        return 0 < self.baseline <= MAX_BASELINE

    @property
    def rating(self) -> tuple[bool, bool, int]:
        """Sort key: a plausible baseline first, then cameras whose pose is in TF, then the share of the grid in
        view."""
        return self.plausible, self.pose.connected, round(20 * self.share)


def choose_pair(candidates: Sequence[StereoTopics], recording: Recording, bag: str, grid_frame: str = "") -> ChosenPair:
    """Choose among stereo pairs: a plausible baseline first, then the largest share of the grid in view, then names.

    Args:
        candidates: the pairs, the best name first.
        recording: calibrations, frames and TF.
        bag: for error messages.
        grid_frame: requested frame of the grid; empty = found automatically.

    Raises:
        SourceError: no pair has messages of both calibrations, or TF lacks the requested frame.
        CalibrationError: no pair has two usable calibrations.
    """
    complete = [c for c in candidates if c.left_info in recording.infos and c.right_info in recording.infos]
    if not complete:
        topics = candidates[0]
        for info in (topics.left_info, topics.right_info):
            if info in recording.failed:
                raise recording.failed[info]
        side = "left" if topics.left_info not in recording.infos else "right"
        raise SourceError(
            f"there is no message of the {side} camera_info",
            where=bag,
            remedy="Record the camera_info topics of both cameras, too.",
        )
    rated = [_rated(topics, recording, grid_frame) for topics in complete]
    best = max(rated, key=lambda entry: entry.rating)
    infos = recording.infos[best.topics.left_info], recording.infos[best.topics.right_info]
    # one camera may have several image topics: raw, rectified, compressed
    others = [r for r in rated if r.topics.left_info != best.topics.left_info]
    alternatives = list({r.topics.left_info: r for r in others}.values())
    if not alternatives:
        return ChosenPair(best.topics, infos, best.pose)
    names = ", ".join(r.topics.left for r in (best, *alternatives))
    if not any(r.plausible for r in alternatives) and best.plausible:
        choice = f"of {len(alternatives) + 1} pairs the only one with a plausible baseline: {names}"
    elif any(r.rating >= best.rating for r in alternatives):
        choice = f"of {len(alternatives) + 1} pairs the first by its name: {names}"
    else:
        choice = f"of {len(alternatives) + 1} pairs the one with most of the grid in view, {best.share:.0%}: {names}"
    warnings: tuple[InputWarning, ...] = ()
    if any(r.rating >= best.rating and not _same_camera(best, r) for r in alternatives):
        text = f"{best.topics.left} was chosen {choice}"
        remedy = "Choose with --topics, --left and --right."
        warnings = (InputWarning("several_pairs", text, bag, remedy),)
    return ChosenPair(best.topics, infos, best.pose, choice, warnings)


def _rated(topics: StereoTopics, recording: Recording, grid_frame: str) -> _Rated:
    pose = GridPose.find(recording, topics, grid_frame)
    left, right = recording.infos[topics.left_info], recording.infos[topics.right_info]
    try:
        size = left.size if all(left.size) else (max(1, round(2 * left.p[0, 2])), max(1, round(2 * left.p[1, 2])))
        cameras = [PinholeCamera(info.p, *size) for info in (left, right)]
        baseline = float(cameras[0].translation[0] - cameras[1].translation[0])
        rig = StereoRig(cameras[0], cameras[1], np.eye(4)).referenced_to_left()
        rig = StereoRig(rig.left, rig.right, pose.at(recording.start_ns))
    except CalibrationError:
        return _Rated(topics, pose, 0.0, 0.0)
    return _Rated(topics, pose, baseline, share_in_view(rig, VoxelGrid.semantic_kitti(pose.grid_frame)))


def _same_camera(a: _Rated, b: _Rated) -> bool:
    """Return whether two pairs, whose names differ in that word only, are the colour and grey cameras of one rig."""

    def plain(name: str) -> str:
        for word in ("color", "colour", "gray", "grey", "mono"):
            name = name.replace(word, "")
        return "".join(character for character in name if not character.isdigit())

    return plain(a.topics.left_info) == plain(b.topics.left_info)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
