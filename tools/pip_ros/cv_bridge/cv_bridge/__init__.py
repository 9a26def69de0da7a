"""Stand-in for the ROS 2 package ``cv_bridge`` (Jazzy): ROS image messages to OpenCV images (numpy arrays) and back.

Written for machines whose ROS 2 comes from PyPI, which carries no ``cv_bridge``; where the real package is installed
it is used and this one is not. Only the Python interface is here, on top of the ``cv2`` module; names, signatures and
conversions are the real package's.
"""

from cv_bridge._bridge import CvBridge
from cv_bridge._color import cvtColor2
from cv_bridge._encodings import CvBridgeError, getCvType

__all__ = ["CvBridge", "CvBridgeError", "cvtColor2", "getCvType"]
