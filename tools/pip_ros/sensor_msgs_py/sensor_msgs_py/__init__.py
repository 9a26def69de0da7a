"""Replacement for the ROS 2 package ``sensor_msgs_py`` (Jazzy): conversion between point clouds and numpy arrays.

It is for ROS 2 installations from PyPI, which do not include ``sensor_msgs_py``. If the original package is installed,
it is used instead. Names, signatures and results are those of the original package.
"""
