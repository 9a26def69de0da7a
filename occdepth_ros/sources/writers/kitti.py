"""Writer of KITTI odometry folders, which `sources.layouts.kitti_odometry` reads.

image_2, image_3    PNG; image_0 and image_1 if the cameras are grey
calib.txt           P0 to P3 and Tr; P0 = P2 and P1 = P3, because there is one pair
times.txt           seconds with nine digits
poses.txt           poses of the frame from which P maps, if all frames have a pose
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, OutputError
from occdepth_ros.sources.base import StereoFrame, StereoSource
from occdepth_ros.sources.layouts.kitti_odometry import CAMERAS, check_size_fits
from occdepth_ros.sources.writers.bag import png_of


def write_kitti(folder: Path, source: StereoSource, frames: Iterable[StereoFrame]) -> None:
    """Write a sequence folder; its LiDAR frame is the source's grid frame.

    Args:
        folder: the folder; must not exist.
        source: source of the calibration.
        frames: frames of the source, by time; numbered from 0.

    Raises:
        OutputError: the cameras move relative to the grid's frame, or the principal point is far from the image centre.
        SourceError, ImageError: a frame cannot be read.
        OSError: the disk is full or not writable.
    """
    rig = source.rig
    try:
        check_size_fits(rig, Path("000000.png"), folder / "calib.txt")
    except CalibrationError as error:
        raise OutputError(
            f"readers of KITTI sequences refuse this calibration ({error.what})",
            where=source.name,
            remedy="Convert it to a recording with --to mcap.",
        ) from error
    times: list[str] = []
    poses: list[Matrix | None] = []
    for index, frame in enumerate(frames):
        if frame.rig is not None:
            raise OutputError(
                "the cameras move relative to the grid's frame, and a KITTI sequence has one calibration",
                where=source.name,
                remedy="Convert it to a recording with --to mcap.",
            )
        for side, image in zip(CAMERAS[1 if frame.grey else 0], (frame.left, frame.right), strict=False):
            image_path = folder / side / f"{index:06d}.png"
            image_path.parent.mkdir(parents=True, exist_ok=True)
            image_path.write_bytes(png_of(image, grey=frame.grey).tobytes())
        times.append(f"{frame.stamp_ns // 1_000_000_000}.{frame.stamp_ns % 1_000_000_000:09d}")
        poses.append(frame.world_from_grid)
    _write(folder / "calib.txt", _calibration(rig))
    _write(folder / "times.txt", times)
    known = [pose for pose in poses if pose is not None]
    if len(known) == len(poses):
        camera_from_grid = rig.reference_from_grid
        grid_from_camera = np.linalg.inv(camera_from_grid)
        _write(folder / "poses.txt", (_row(camera_from_grid @ pose @ grid_from_camera) for pose in known))


def _calibration(rig: StereoRig) -> Iterator[str]:
    cameras = {"P0": rig.left, "P1": rig.right, "P2": rig.left, "P3": rig.right}
    yield from (f"{name}: {_row(camera.projection)}" for name, camera in cameras.items())
    yield f"Tr: {_row(rig.reference_from_grid)}"


def _row(matrix: Matrix) -> str:
    """Format the first three rows as twelve numbers with all digits of a double."""
    return " ".join(f"{value:.16e}" for value in matrix[:3].ravel())


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
