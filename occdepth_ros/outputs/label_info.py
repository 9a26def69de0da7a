"""Encoder of vision_msgs/LabelInfo: the names of the class ids."""

from __future__ import annotations

from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.prediction import OccupancyPrediction


def encode_label_info(prediction: OccupancyPrediction, frame_id: str, threshold: float = 0.0) -> bytes:
    """Return a serialised vision_msgs/LabelInfo with all classes of a prediction.

    Args:
        prediction: its class table is encoded.
        frame_id: frame of the header.
        threshold: probability below which voxels are not published.
    """
    names = prediction.classes.names
    message = CdrWriter()
    message.header(prediction.stamp_ns, frame_id)
    message.primitives("I", len(names))
    for index, name in enumerate(names):
        message.primitives("H", index)
        message.string(name)
    message.primitives("f", threshold)
    return message.finish()
