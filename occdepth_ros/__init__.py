"""Live 3-D semantic occupancy for robots: OccDepth and its kin as a ROS 2 perception package."""

__version__ = "0.1.0"
