"""Running nodes for tests: in this process and as processes, with ROS domains of their own."""
