"""Encoder of occdepth_ros/SemanticGrid: all voxels of a prediction as dense arrays."""

from __future__ import annotations

import numpy as np

from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.prediction import OccupancyPrediction


def encode_semantic_grid(prediction: OccupancyPrediction, frame_id: str) -> bytes:
    """Return a serialised occdepth_ros/SemanticGrid: labels, confidence, visibility, grid and class table."""
    grid, classes = prediction.grid, prediction.classes
    message = CdrWriter()
    message.header(prediction.stamp_ns, frame_id)
    message.string(prediction.model)
    message.primitives("dddd", *grid.origin, grid.resolution)
    message.primitives("III", *grid.size)
    message.primitives("I", len(classes))
    for name in classes.names:
        message.string(name)
    message.sequence(classes.colors[: len(classes)].reshape(-1))
    for values in (prediction.labels, prediction.confidence, prediction.visibility):
        message.sequence(np.ascontiguousarray(values).reshape(-1))
    return message.finish()
