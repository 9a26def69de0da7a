"""Parameters of the node `replay`. This module does not import ROS."""

from __future__ import annotations

import re
from dataclasses import dataclass

from occdepth_ros.nodes.parameters import ParameterError, ParameterSet, parameter

RECORDED, NOW = "recorded", "now"

_FRAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_/.\-]*")


@dataclass(frozen=True)
class ReplaySettings(ParameterSet):
    """Values of all parameters; each field is a parameter.

    Raises:
        ParameterError: a frame name is invalid, or two frames have the same name.
    """

    source: str = parameter("sample", "Sequence", "Folder or bag to replay; `sample` is the sequence in the package.")
    topics: str = parameter("", "Sequence", "Substring of the names of the image topics of a bag, such as a namespace.")
    left_topic: str = parameter("", "Sequence", "Topic of the left images of a bag; if empty, it is found by name.")
    right_topic: str = parameter("", "Sequence", "Topic of the right images of a bag; if empty, it is found by name.")
    start: int = parameter(0, "Sequence", "Index of the first frame.", low=0, high=2**31)
    count: int = parameter(
        0,
        "Sequence",
        "Number of pairs to publish. The replay restarts at `start` after the last frame; 0 publishes each frame once.",
        low=0,
        high=2**31,
    )
    loop: bool = parameter(False, "Sequence", "Whether to repeat the sequence from `start` without end.")
    rate: float = parameter(
        1.0,
        "Time",
        "Playback speed relative to the recording; 0 publishes as fast as images can be read.",
        low=0.0,
        high=1000.0,
    )
    stamps: str = parameter(
        RECORDED,
        "Time",
        "Source of stamps and /clock: `recorded` times (which continue to increase when the sequence is repeated), or "
        "`now`.",
        choices=(RECORDED, NOW),
    )
    clock_hz: float = parameter(
        40.0, "Time", "Rate of /clock between frames, Hz; 0 disables /clock.", low=0.0, high=1000.0
    )
    wait_for_subscribers: int = parameter(
        1,
        "Time",
        "Number of subscribers of every camera topic to wait for before the first frame; 0 starts immediately.",
        low=0,
        high=100,
    )
    map_frame: str = parameter("map", "Frames", "Fixed frame of the recorded poses.")
    grid_frame: str = parameter(
        "",
        "Frames",
        "Moving frame of the voxel grid; if empty, that of the source (KITTI: velodyne). If the TF of a bag contains "
        "the frame, its pose is used; any other name renames the frame of the source.",
    )
    left_frame: str = parameter("camera_left_optical", "Frames", "Optical frame of the left camera.")
    right_frame: str = parameter("camera_right_optical", "Frames", "Optical frame of the right camera.")

    def __post_init__(self) -> None:
        frames = {name: getattr(self, name) for name in ("map_frame", "grid_frame", "left_frame", "right_frame")}
        for name, value in frames.items():
            if not _FRAME.fullmatch(value) and (value or name != "grid_frame"):
                raise ParameterError(
                    f"{value!r} is not a valid frame name",
                    where=name,
                    remedy="Use letters, digits and _, no leading slash.",
                )
        if len(set(frames.values())) < len(frames):
            raise ParameterError(
                "two frames have the same name", where=", ".join(frames), remedy="Set four different names."
            )
