"""Path search on a costmap, for the example planner. No ROS."""
