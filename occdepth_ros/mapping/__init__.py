"""A semantic occupancy map that is kept over time: fusion of predictions, decay, storage. NumPy and numba, no ROS."""

from occdepth_ros.mapping.config import MapConfig
from occdepth_ros.mapping.fusion import OccupancyMap

__all__ = ["MapConfig", "OccupancyMap"]
