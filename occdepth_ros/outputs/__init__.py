"""Encoders that convert an `OccupancyPrediction` to serialised ROS 2 messages and to files."""
