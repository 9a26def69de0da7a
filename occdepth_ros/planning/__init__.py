"""Path search on a costmap for the example planner, without ROS."""
