"""Live 3-D semantic occupancy for robots: OccDepth and related networks as a ROS 2 package."""

__version__ = "0.1.0"
