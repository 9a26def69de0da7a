"""The ROS 2 nodes. No module outside of nodes/ and demo/ imports rclpy."""
