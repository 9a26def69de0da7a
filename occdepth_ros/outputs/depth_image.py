"""sensor_msgs/Image of the expected depth of the left image."""

from __future__ import annotations

import numpy as np

from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.prediction import OccupancyPrediction


def encode_depth(prediction: OccupancyPrediction, frame_id: str) -> bytes:
    """Serialised sensor_msgs/Image, encoding 32FC1, metres, NaN where there is no depth (REP-118).

    Args:
        prediction: holds the depth.
        frame_id: optical frame of the left camera.
    """
    depth = np.ascontiguousarray(prediction.depth, "<f4")
    height, width = depth.shape
    message = CdrWriter()
    message.header(prediction.stamp_ns, frame_id)
    message.primitives("II", height, width)
    message.string("32FC1")
    message.primitives("?I", False, width * depth.itemsize)
    message.sequence(depth.reshape(-1).view(np.uint8))
    return message.finish()
