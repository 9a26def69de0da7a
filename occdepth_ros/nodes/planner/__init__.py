"""The example node `planner`: a path on the occupancy grid to a goal."""
