"""Choice of the frame in which the voxel grid is fixed, among the frames of a TF tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LIDAR_FRAMES = ("velodyne", "velo_link", "lidar", "lidar_link", "os_sensor")
BASE_FRAMES = (
    *("base_link", "base_footprint", "body", "chassis_link", "base", "chassis", "base_frame", "body_link"),
    *("vehicle", "ego_vehicle", "robot_base"),
)
GRID_FRAMES = (*LIDAR_FRAMES, *BASE_FRAMES)
"""Frames of a voxel grid, in order of preference, without the prefix of a robot."""
_WITH_UNDERSCORE = ("velodyne", "velo_link", "lidar_link", "base_link", "base_footprint", "chassis_link")
"""Names that are also recognised after a prefix with an underscore, such as `robot1_base_link`."""


def grid_frame_candidates(frames: Iterable[str]) -> Iterator[str]:
    """Yield the possible frames of a grid in order of preference: plain names, `robot/name`, then `robot_name`."""
    names = sorted(frames)
    yield from (name for known in GRID_FRAMES for name in names if name.strip("/") == known)
    yield from (name for known in GRID_FRAMES for name in names if name.strip("/").endswith("/" + known))
    yield from (name for known in _WITH_UNDERSCORE for name in names if name.endswith("_" + known))


def is_base_frame(frame: str) -> bool:
    """Return whether a frame is a base frame of a vehicle, with its origin at most one metre above the ground."""
    name = frame.strip("/").rsplit("/", 1)[-1]
    return name in BASE_FRAMES or name.endswith(("_base_link", "_base_footprint", "_chassis_link"))
