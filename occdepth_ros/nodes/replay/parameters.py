"""Parameters of the node `replay`. This module does not import ROS."""

from __future__ import annotations

import re
from dataclasses import dataclass

from occdepth_ros.nodes.parameters import ParameterError, ParameterSet, parameter

RECORDED, NOW = "recorded", "now"

_FRAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_/.\-]*")


@dataclass(frozen=True)
class ReplaySettings(ParameterSet):
    """All parameters with their values; a field is a parameter.

    Raises:
        ParameterError: a frame name is not one, or two frames share a name.
    """

    source: str = parameter("sample", "Sequence", "Folder or bag to replay; `sample` is the one in the package.")
    topics: str = parameter("", "Sequence", "Bag: part of the names of the image topics, such as a namespace.")
    left_topic: str = parameter("", "Sequence", "Bag: topic of the left images; empty: found by name.")
    right_topic: str = parameter("", "Sequence", "Bag: topic of the right images; empty: found by name.")
    start: int = parameter(0, "Sequence", "First frame.", low=0, high=2**31)
    count: int = parameter(
        0,
        "Sequence",
        "How many pairs to publish, beginning anew at `start` after the last frame; 0 publishes each once.",
        low=0,
        high=2**31,
    )
    loop: bool = parameter(False, "Sequence", "Never end: begin anew at `start` each time.")
    rate: float = parameter(
        1.0, "Time", "Speed: 1 as recorded, 2 twice as fast, 0 as fast as images can be read.", low=0.0, high=1000.0
    )
    stamps: str = parameter(
        RECORDED,
        "Time",
        "Stamps and /clock: `recorded` times (going on over the seam of a loop), or `now`.",
        choices=(RECORDED, NOW),
    )
    clock_hz: float = parameter(
        100.0, "Time", "Rate of /clock between frames, Hz; 0 publishes none.", low=0.0, high=1000.0
    )
    wait_for_subscribers: int = parameter(
        1,
        "Time",
        "Start when every camera topic has this many subscribers, so that none misses a frame; 0 starts at once.",
        low=0,
        high=100,
    )
    map_frame: str = parameter("map", "Frames", "Fixed frame that the recorded poses are in.")
    grid_frame: str = parameter(
        "",
        "Frames",
        "Moving frame of the voxel grid; empty: the source's (KITTI: velodyne). A frame of a bag's TF is used with its "
        "pose, another name renames the source's.",
    )
    left_frame: str = parameter("camera_left_optical", "Frames", "Optical frame of the left camera.")
    right_frame: str = parameter("camera_right_optical", "Frames", "Optical frame of the right camera.")

    def __post_init__(self) -> None:
        frames = {name: getattr(self, name) for name in ("map_frame", "grid_frame", "left_frame", "right_frame")}
        for name, value in frames.items():
            if not _FRAME.fullmatch(value) and (value or name != "grid_frame"):
                raise ParameterError(
                    f"{value!r} is no frame name", where=name, remedy="Use letters, digits and _, no leading slash."
                )
        if len(set(frames.values())) < len(frames):
            raise ParameterError("two frames have one name", where=", ".join(frames), remedy="Give four names.")
