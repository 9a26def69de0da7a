"""The networks: torch modules only, no files, no ROS, no training."""
