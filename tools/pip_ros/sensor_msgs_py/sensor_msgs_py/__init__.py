"""Stand-in for the ROS 2 package ``sensor_msgs_py`` (Jazzy): point clouds to numpy and back.

Written for machines whose ROS 2 comes from PyPI, which carries no ``sensor_msgs_py``; where the real package is
installed it is used and this one is not. Names, signatures and results are the real package's.
"""
