"""Poses from the GPS/IMU records (OXTS) of KITTI raw drives.

Geiger et al., Vision meets Robotics: The KITTI Dataset, IJRR 2013; the Mercator projection as its development kit
defines it: scale by the cosine of the first latitude, so that distances are metres near the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import SourceError
from occdepth_ros.sources.tables import read_rows

EARTH_RADIUS = 6378137.0
_LATITUDE, _LONGITUDE, _ALTITUDE, _ROLL, _PITCH, _YAW = range(6)
_COLUMNS = 30


def read_oxts(folder: Path, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Poses of the IMU in a fixed frame (x east, y north, z up, shifted to the first frame), `[N, 4, 4]`.

    Args:
        folder: `oxts/data` of a drive.
        names: frames; `NAME.txt` is read for each.

    Raises:
        SourceError: a record is missing, malformed, or holds NaN or an impossible latitude.
    """
    records = []
    for name in names:
        path = folder / f"{name}.txt"
        if not path.is_file():
            raise SourceError("the GPS/IMU record of a frame is missing", where=str(path), remedy="Extract oxts again.")
        record = read_rows(path, _COLUMNS)[0]
        if abs(record[_LATITUDE]) > 89 or abs(record[_LONGITUDE]) > 360:
            raise SourceError("latitude or longitude are no place on Earth", where=str(path))
        records.append(record)
    return mercator_poses(np.array(records))


def mercator_poses(records: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Poses `[N, 4, 4]` of records whose first six columns are latitude, longitude (degrees), altitude (m), roll,
    pitch, yaw (radians; yaw from east, counter-clockwise).
    """
    latitude, longitude = np.deg2rad(records[:, _LATITUDE]), np.deg2rad(records[:, _LONGITUDE])
    scale = np.cos(latitude[0])
    place = np.stack(
        [
            scale * EARTH_RADIUS * longitude,
            scale * EARTH_RADIUS * np.log(np.tan(np.pi / 4 + latitude / 2)),
            records[:, _ALTITUDE],
        ],
        axis=1,
    )
    poses = np.tile(np.eye(4), (len(records), 1, 1))
    poses[:, :3, 3] = place - place[0]
    poses[:, :3, :3] = _rotations(records[:, _ROLL], records[:, _PITCH], records[:, _YAW])
    return poses


def _rotations(
    roll: npt.NDArray[np.float64], pitch: npt.NDArray[np.float64], yaw: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Rz(yaw) Ry(pitch) Rx(roll), `[N, 3, 3]`."""
    (sr, sp, sy), (cr, cp, cy) = np.sin([roll, pitch, yaw]), np.cos([roll, pitch, yaw])
    rows = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return np.array(rows).transpose(2, 0, 1)
