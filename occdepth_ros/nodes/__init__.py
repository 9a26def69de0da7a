"""The ROS 2 nodes; nothing outside this folder imports rclpy."""
