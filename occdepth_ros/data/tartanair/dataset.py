"""TartanAir (Wang et al., 2020) in its official layout; SemanticTartanAir (OccDepth) is its scene "office".

ROOT/office/Easy/P000/image_left/000000_left.png, image_right/000000_right.png      640x480
ROOT/office/Easy/P000/depth_left/000000_left_depth.npy                              float32 metres, [480, 640]
ROOT/office/Easy/P000/seg_left/000000_left_seg.npy                                  uint8 ids, [480, 640]
ROOT/office/Easy/P000/pose_left.txt, pose_right.txt   one line per frame: x y z qx qy qz qw, metres, NED

NED, for cameras and world: x is forward, y is right, z is down. ROOT may also be the folder of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError, SourceError
from occdepth_ros.rotation import from_quaternion
from occdepth_ros.sources.images import missing_names, read_image
from occdepth_ros.sources.tables import read_rows

SCENE = "office"
TRAJECTORIES = {
    "Easy": tuple(f"P{number:03d}" for number in range(7)),
    "Hard": tuple(f"P{number:03d}" for number in range(8)),
}
"""Trajectories of the scene "office" by difficulty."""
SPLITS = {
    "train": tuple(f"Easy/P{number:03d}" for number in (0, 1, 2, 3, 4, 6)),
    "val": ("Easy/P005",),
}
"""Trajectories of each split."""
IMAGE = (640, 480)
INTRINSICS = np.array([[320.0, 0, 320, 0], [0, 320, 240, 0], [0, 0, 1, 0]])
SKY = 1000.0
"""Depth above which there is no surface, metres."""

OPTICAL_FROM_NED: Matrix = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
LEVEL_FROM_NED: Matrix = np.diag([1.0, -1, -1])
"""Rotation from NED (x forward, y right, z down) to x forward, y left, z up."""

FILES = {
    "image_left": "{}_left.png",
    "image_right": "{}_right.png",
    "depth_left": "{}_left_depth.npy",
    "seg_left": "{}_left_seg.npy",
}
Number = TypeVar("Number", np.float32, np.uint8)

_REPAIR = "Copy or download the file again."


@dataclass(frozen=True)
class TartanFrame:
    """Depth, segmentation and pose of the left camera.

    Args:
        depth: `[480, 640]` float32 metres along the optical axis; infinity = no surface.
        ids: `[480, 640]` uint8 segmentation ids.
        world_from_camera: `[4, 4]` pose of the left optical frame in the NED world, metres.
    """

    depth: npt.NDArray[np.float32]
    ids: npt.NDArray[np.uint8]
    world_from_camera: Matrix


class Trajectory:
    """One trajectory. Files of frames are read on access.

    Args:
        folder: folder such as ROOT/office/Easy/P000.

    Raises:
        SourceError: images, depth, segmentation or poses are missing. The message lists the first affected frames.
        CalibrationError: the cameras are not parallel with the right camera along the positive x axis.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"{folder.parent.name}/{folder.name}"
        present = {part: frame_names(folder, part) for part in FILES}
        self.frames = sorted(set.union(*present.values()))
        if not self.frames:
            raise SourceError(
                "there are no frames", where=str(folder), remedy="Give the folder that contains office/Easy/P000."
            )
        for part, stems in present.items():
            lacking = [frame for frame in self.frames if frame not in stems]
            if lacking:
                raise SourceError(
                    f"{len(lacking)} of {len(self.frames)} frames have no {part}: {missing_names(lacking)}",
                    where=str(folder),
                    remedy=f"Extract the archive of {part} completely.",
                )
        self.poses = read_ned_poses(folder / "pose_left.txt")
        right = read_ned_poses(folder / "pose_right.txt")
        last = int(self.frames[-1])
        for file, poses in (("pose_left.txt", self.poses), ("pose_right.txt", right)):
            if last >= len(poses):
                raise SourceError(
                    f"there are {len(poses)} poses, none for frame {self.frames[-1]}",
                    where=str(folder / file),
                    remedy=_REPAIR,
                )
        self.baseline = _baseline(self.poses[0], right[0], folder / "pose_right.txt")

    def path(self, part: str, frame: str) -> Path:
        """Return the file of a frame in `part`: image_left, image_right, depth_left or seg_left."""
        return self.folder / part / FILES[part].format(frame)

    def pose(self, frame: str) -> Matrix:
        """Return the pose of the left optical frame in the NED world, `[4, 4]`, metres."""
        return self.poses[int(frame)]

    def read(self, frame: str) -> TartanFrame:
        """Read depth, segmentation and pose of a frame.

        Raises:
            SourceError: a file is missing or damaged, or its array has an unexpected shape or type.
        """
        depth = read_array(self.path("depth_left", frame), np.float32)
        depth = np.where(depth > SKY, np.inf, np.where(depth > 0, depth, np.nan)).astype(np.float32)
        ids = read_array(self.path("seg_left", frame), np.uint8)
        return TartanFrame(depth, ids, self.pose(frame))

    def images(self, frame: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Read the left and the right image, `[480, 640, 3]` RGB uint8 each.

        Raises:
            ImageError: an image is missing or damaged.
        """
        left, _ = read_image(self.path("image_left", frame), IMAGE)
        right, _ = read_image(self.path("image_right", frame), IMAGE)
        return left, right

    def rig(self, frame: str) -> StereoRig:
        """Return the rig of a frame. The grid's frame is the level frame of `level_frame`."""
        right = INTRINSICS.copy()
        right[0, 3] = -right[0, 0] * self.baseline
        pose = np.linalg.inv(self.pose(frame)) @ level_frame(self.pose(frame))
        return StereoRig(PinholeCamera(INTRINSICS, *IMAGE), PinholeCamera(right, *IMAGE), pose)


def level_frame(world_from_camera: Matrix) -> Matrix:
    """Return the pose of the level frame of a camera in the NED world, `[4, 4]`, metres.

    The x axis of the level frame is the horizontal part of the optical axis, y is left, z is up.
    """
    forward = world_from_camera[:3, 2]
    # If the optical axis is vertical, the heading follows from the right axis, which is horizontal for any pitch.
    right = world_from_camera[:3, 0]
    heading = np.arctan2(forward[1], forward[0]) if np.hypot(*forward[:2]) > 1e-6 else np.arctan2(-right[0], right[1])
    c, s = np.cos(heading), np.sin(heading)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ LEVEL_FROM_NED
    pose[:3, 3] = world_from_camera[:3, 3]
    return pose


def read_ned_poses(path: Path) -> Matrix:
    """Read poses of a camera's optical frame in the NED world, `[N, 4, 4]`, from lines x y z qx qy qz qw.

    Raises:
        SourceError: the file is missing or malformed, or a quaternion does not have length 1.
    """
    rows = read_rows(path, 7)
    length = np.linalg.norm(rows[:, 3:], axis=1)
    bad = np.abs(length - 1) > 1e-2
    if bad.any():
        raise SourceError(f"the quaternion of line {int(bad.argmax()) + 1} does not have length 1", where=str(path))
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = from_quaternion(rows[:, 3:]) @ OPTICAL_FROM_NED.T
    poses[:, :3, 3] = rows[:, :3]
    return poses


def open_trajectories(root: Path, names: Sequence[str]) -> list[Trajectory]:
    """Open trajectories by names such as "Easy/P000" or "P000" (of Easy), or by names of splits.

    Raises:
        SourceError, CalibrationError: a trajectory is missing or incomplete.
    """
    root = root.expanduser()
    base = root / SCENE if (root / SCENE).is_dir() else root
    folders = [base / name for name in expand_trajectories(names)]
    for folder in folders:
        if not folder.is_dir():
            raise SourceError(
                f"the trajectory {folder.parent.name}/{folder.name} is missing",
                where=str(base),
                remedy="Give the folder that contains office/Easy/P000, and trajectories that are present.",
            )
    return [Trajectory(folder) for folder in folders]


def expand_trajectories(names: Sequence[str]) -> list[str]:
    """Expand short names and names of splits to names such as "Easy/P000". Duplicates are removed.

    Raises:
        SourceError: a name is neither a trajectory nor a split.
    """
    requested: list[str] = []
    for name in names:
        found = SPLITS.get(name, (name if "/" in name else f"Easy/{name}",))
        for full in found:
            level, _, trajectory = full.partition("/")
            if trajectory not in TRAJECTORIES.get(level, ()):
                raise SourceError(
                    f"there is no trajectory {name!r}",
                    where="trajectories",
                    remedy=f"Give names such as Easy/P000 or Hard/P007, or {', '.join(SPLITS)}.",
                )
        requested += found
    return list(dict.fromkeys(requested))


def frame_names(folder: Path, part: str) -> set[str]:
    """Return the names of the frames that have a file in a part of a trajectory."""
    suffix = FILES[part].format("")
    stems = {path.name[: -len(suffix)] for path in (folder / part).glob(f"*{suffix}")}
    return {stem for stem in stems if stem.isdecimal() and len(stem) < 16}


def read_array(path: Path, kind: type[Number]) -> npt.NDArray[Number]:
    """Read an array of the size of the images.

    Raises:
        SourceError: the file is damaged, or its array has another shape or type.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"the array cannot be read ({error})", where=str(path), remedy=_REPAIR) from error
    if not isinstance(array, np.ndarray) or array.shape != IMAGE[::-1] or array.dtype != kind:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "no array"
        raise SourceError(
            f"the file holds {found}, not {np.dtype(kind)} {IMAGE[::-1]}", where=str(path), remedy=_REPAIR
        )
    return array


def _baseline(left: Matrix, right: Matrix, file: Path) -> float:
    """Return the distance from the left to the right camera, metres. The cameras must be parallel and side by side."""
    relative = np.linalg.inv(left) @ right
    x, y, z = relative[:3, 3]
    if not (x > 0 and max(abs(y), abs(z)) < 0.02 * x) or np.abs(relative[:3, :3] - np.eye(3)).max() > 1e-3:
        raise CalibrationError(
            f"the right camera is at ({x:.3f}, {y:.3f}, {z:.3f}) m in the left optical frame, or rotated",
            where=str(file),
            remedy="Use the pose files of one trajectory.",
        )
    return float(x)
