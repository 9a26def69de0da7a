"""Calibration files that KITTI raw and KITTI-360 have in common: entries P_rect_0x, S_rect_0x and R_rect_00."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError
from occdepth_ros.sources.tables import read_calibration


@dataclass(frozen=True)
class RectifiedCameras:
    """The entries of a file of camera calibrations.

    Args:
        file: the file.
        entries: its entries by name.
        archive: remedy for missing entries.
        images: remedy for images of another size.
    """

    file: Path
    entries: Mapping[str, Matrix]
    archive: str
    images: str

    @classmethod
    def read(cls, file: Path, *, archive: str, images: str) -> RectifiedCameras:
        """Read a file.

        Raises:
            SourceError, CalibrationError: the file cannot be read or is malformed.
        """
        return cls(file, read_calibration(file), archive, images)

    def rig(self, numbers: tuple[str, str], size: tuple[int, int], camera_from_lidar: Matrix) -> StereoRig:
        """Return the rig of two cameras.

        Args:
            numbers: numbers of the left and the right camera, such as "02" and "03".
            size: width and height of the images, pixels.
            camera_from_lidar: pose of the LiDAR in camera 0 before its rectification, `[4, 4]`.

        Raises:
            CalibrationError: an entry is missing, or the images have another size.
        """
        rectification = np.eye(4)
        rectification[:3, :3] = entry(self.entries, "R_rect_00", (3, 3), self.file, self.archive)
        left, right = (self._camera(number, size) for number in numbers)
        return StereoRig(left, right, rectification @ camera_from_lidar, frame_id="camera_0")

    def _camera(self, number: str, size: tuple[int, int]) -> PinholeCamera:
        stated = entry(self.entries, f"S_rect_{number}", (2,), self.file, self.archive)
        width, height = (int(value) for value in stated)
        if (width, height) != size:
            raise CalibrationError(
                f"the calibration is for {width}x{height} pixels, the images have {size[0]}x{size[1]}",
                where=f"{self.file}, S_rect_{number}",
                remedy=self.images,
            )
        projection = entry(self.entries, f"P_rect_{number}", (3, 4), self.file, self.archive)
        return PinholeCamera(projection, width, height)


def entry(entries: Mapping[str, Matrix], key: str, shape: tuple[int, ...], file: Path, remedy: str) -> Matrix:
    """Return an entry of a calibration file in its shape.

    Raises:
        CalibrationError: the entry is missing or has another number of values.
    """
    value, count = entries.get(key), int(np.prod(shape))
    if value is None or value.size != count:
        raise CalibrationError(
            f"the entry {key} is missing or does not have {count} numbers", where=str(file), remedy=remedy
        )
    return value.reshape(shape)
