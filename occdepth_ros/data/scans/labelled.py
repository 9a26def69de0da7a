"""Labelled LiDAR scans with poses, in the layout of SemanticKITTI.

SS/velodyne/FFFFFF.bin   float32 x, y, z, remission, metres in the LiDAR frame
SS/labels/FFFFFF.label   uint32, one per point: raw class id in the lower, instance in the upper 16 bits
SS/scans/FFFFFF.npz      alternatively both in one file: `xyz` int16 centimetres `[N, 3]`, `label` uint16 `[N]`
SS/calib.txt             Tr: LiDAR to camera 0
SS/poses.txt             poses of camera 0; alternatively ../../poses/SS.txt
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import SourceError
from occdepth_ros.sources.layouts.kitti_odometry import poses_file
from occdepth_ros.sources.tables import read_calibration, read_poses

Points = npt.NDArray[np.float64]
RawIds = npt.NDArray[np.uint16]
Number = TypeVar("Number", np.float32, np.uint32)

_REPAIR = "Copy or download the file again."


class LabelledScans:
    """Labelled scans of one sequence.

    Args:
        path: folder of the sequence.

    Raises:
        SourceError: scans, calibration or poses are missing or unusable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        full = {file.stem for file in (path / "velodyne").glob("*.bin")}
        full &= {file.stem for file in (path / "labels").glob("*.label")}
        compact = {file.stem for file in (path / "scans").glob("*.npz")}
        self.frames = sorted(name for name in full | compact if name.isdecimal() and len(name) < 16)
        """Names of the frames with a labelled scan, in ascending order."""
        if not self.frames:
            raise SourceError(
                "there are no labelled scans (velodyne/*.bin with labels/*.label)",
                where=str(path),
                remedy="Give the folder of one sequence, with the LiDAR scans of KITTI and the labels extracted.",
            )
        self._full = full
        self._poses = _lidar_poses(path)
        last = int(self.frames[-1])
        if last >= len(self._poses):
            raise SourceError(
                f"there are {len(self._poses)} poses, none for scan {self.frames[-1]}",
                where=str(path),
                remedy="Use the poses that belong to these scans.",
            )

    def pose(self, frame: str) -> npt.NDArray[np.float64]:
        """Return the pose of the LiDAR of a frame in the LiDAR frame of the first frame, `[4, 4]`, metres."""
        return self._poses[int(frame)]

    def relative_pose(self, frame: str, reference: str) -> npt.NDArray[np.float64]:
        """Return the pose of the LiDAR of a frame in the LiDAR frame of `reference`, `[4, 4]`, metres."""
        return np.asarray(np.linalg.inv(self.pose(reference)) @ self.pose(frame))

    def size_of(self, frame: str) -> int:
        """Return the total size of the files of a frame, bytes."""
        names = (f"velodyne/{frame}.bin", f"labels/{frame}.label") if frame in self._full else (f"scans/{frame}.npz",)
        return sum((self.path / name).stat().st_size for name in names)

    def near(self, frame: str, reach: float) -> list[str]:
        """Return the frames within `reach` metres of the LiDAR of `frame`, including `frame`."""
        here = self.pose(frame)[:3, 3]
        return [name for name in self.frames if np.linalg.norm(self.pose(name)[:3, 3] - here) <= reach]

    def read(self, frame: str) -> tuple[Points, RawIds]:
        """Read the points `[N, 3]`, metres in the LiDAR frame of the scan, and their raw class ids `[N]`.

        Points that are not finite are omitted.

        Raises:
            SourceError: a file is missing or truncated, or the numbers of points and labels differ.
        """
        if frame in self._full:
            points, labels = self._read_full(frame)
        else:
            points, labels = _read_compact(self.path / "scans" / f"{frame}.npz")
        good = np.isfinite(points).all(axis=1)
        return points[good], labels[good]

    def _read_full(self, frame: str) -> tuple[Points, RawIds]:
        scan, label = self.path / "velodyne" / f"{frame}.bin", self.path / "labels" / f"{frame}.label"
        points, labels = _numbers(scan, np.float32, 4).reshape(-1, 4), _numbers(label, np.uint32, 1)
        if len(points) != len(labels):
            raise SourceError(
                f"there are {len(labels)} labels for the {len(points)} points of {scan.name}",
                where=str(label),
                remedy=_REPAIR,
            )
        return points[:, :3].astype(np.float64), (labels & 0xFFFF).astype(np.uint16)


def _numbers(path: Path, kind: type[Number], columns: int) -> npt.NDArray[Number]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"the file cannot be read ({error.strerror})", where=str(path)) from error
    if not content or len(content) % (4 * columns):
        raise SourceError(
            f"the file has {len(content)} bytes, which is not a multiple of {4 * columns}",
            where=str(path),
            remedy=_REPAIR,
        )
    return np.frombuffer(content, np.dtype(kind).newbyteorder("<"))


def _read_compact(path: Path) -> tuple[Points, RawIds]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            xyz, label = arrays["xyz"], arrays["label"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(f"the scan cannot be read ({error})", where=str(path), remedy=_REPAIR) from error
    if xyz.shape != (len(label), 3) or xyz.dtype != np.int16 or label.dtype != np.uint16 or label.ndim != 1:
        raise SourceError(
            f"xyz is {xyz.dtype} {xyz.shape} and label {label.dtype} {label.shape}, not int16 [N, 3] and uint16 [N]",
            where=str(path),
        )
    return xyz / 100.0, label


def _lidar_poses(path: Path) -> npt.NDArray[np.float64]:
    """Return the poses of the LiDAR in its first frame, `[N, 4, 4]`: inv(Tr) pose Tr."""
    transform = read_calibration(path / "calib.txt").get("Tr")
    if transform is None or transform.size != 12:
        raise SourceError(
            "there is no entry Tr with twelve numbers",
            where=str(path / "calib.txt"),
            remedy="Use the calibration of the SemanticKITTI or the odometry LiDAR archive.",
        )
    camera_from_lidar = np.vstack([transform.reshape(3, 4), [0, 0, 0, 1]])
    file = poses_file(path)
    if file is None:
        raise SourceError("poses.txt is missing", where=str(path), remedy="Extract the poses of SemanticKITTI.")
    return np.asarray(np.linalg.inv(camera_from_lidar) @ read_poses(file) @ camera_from_lidar)
