"""Poses from the GPS/IMU records (OXTS) of KITTI raw drives.

Geiger et al., Vision meets Robotics: The KITTI Dataset, IJRR 2013; the Mercator projection of its development kit is
scaled by the cosine of the first latitude, so that distances near the start are in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import SourceError
from occdepth_ros.rotation import from_roll_pitch_yaw
from occdepth_ros.sources.tables import read_rows

EARTH_RADIUS = 6378137.0
_LATITUDE, _LONGITUDE, _ALTITUDE, _ROLL, _PITCH, _YAW = range(6)
_COLUMNS = 30


def read_oxts(folder: Path, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return poses of the IMU in a fixed frame (x east, y north, z up, origin at the first frame), `[N, 4, 4]`.

    Args:
        folder: `oxts/data` of a drive.
        names: frames; `NAME.txt` is read for each.

    Raises:
        SourceError: a record is missing or malformed, or contains NaN or an impossible latitude.
    """
    records = []
    for name in names:
        path = folder / f"{name}.txt"
        if not path.is_file():
            raise SourceError("the GPS/IMU record of a frame is missing", where=str(path), remedy="Extract oxts again.")
        record = read_rows(path, _COLUMNS)[0]
        if abs(record[_LATITUDE]) > 89 or abs(record[_LONGITUDE]) > 360:
            raise SourceError("latitude or longitude is out of range", where=str(path))
        records.append(record)
    return mercator_poses(np.array(records))


def mercator_poses(records: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the poses of records, `[N, 4, 4]`.

    Args:
        records: latitude, longitude (degrees), altitude (m), roll, pitch, yaw (radians; yaw from east,
            counter-clockwise), and other columns.
    """
    latitude, longitude = np.deg2rad(records[:, _LATITUDE]), np.deg2rad(records[:, _LONGITUDE])
    scale = np.cos(latitude[0])
    position = np.stack(
        [
            scale * EARTH_RADIUS * longitude,
            scale * EARTH_RADIUS * np.log(np.tan(np.pi / 4 + latitude / 2)),
            records[:, _ALTITUDE],
        ],
        axis=1,
    )
    poses = np.tile(np.eye(4), (len(records), 1, 1))
    poses[:, :3, 3] = position - position[0]
    poses[:, :3, :3] = from_roll_pitch_yaw(records[:, _ROLL], records[:, _PITCH], records[:, _YAW])
    return poses
