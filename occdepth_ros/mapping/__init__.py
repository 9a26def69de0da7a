"""A semantic occupancy map over time: fusion of predictions, decay, storage. Uses NumPy and numba, not ROS."""

from occdepth_ros.mapping.config import MapConfig
from occdepth_ros.mapping.fusion import OccupancyMap

__all__ = ["MapConfig", "OccupancyMap"]
