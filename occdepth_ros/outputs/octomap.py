"""Encoders of octomap_msgs/Octomap and OctoMap files: OcTree (binary) and ColorOcTree (full)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN, ClassTable
from occdepth_ros.compiled import compiled
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.octree import LeafTable, binary_words, color_nodes
from occdepth_ros.outputs.octree.files import TreeKind, write_octree
from occdepth_ros.outputs.octree.pyramid import Cells
from occdepth_ros.outputs.selection import Selection, selected_labels
from occdepth_ros.prediction import OccupancyPrediction

CLAMP = (0.1192, 0.971)
"""Default clamping thresholds of the occupancy probability in the C++ library."""

OBSERVED = Selection(completed_free=False)
"""Default selection: free space that was completed and not seen is unknown, because planners drive into free space."""

Bytes = npt.NDArray[np.uint8]
_LEVEL_SHIFT = 6
LEVELS = 256 >> _LEVEL_SHIFT
"""Number of confidence levels. Quantization lets neighbours of the same class and level be merged into one leaf."""


def encode_octomap_binary(
    prediction: OccupancyPrediction,
    frame_id: str,
    selection: Selection = OBSERVED,
) -> bytes:
    """Return a serialised octomap_msgs/Octomap that holds an OcTree: occupied, free, unknown.

    Args:
        prediction: prediction to encode.
        frame_id: frame of the header; the tree has the coordinates of the grid.
        selection: voxels of the tree; all others are unknown.

    Raises:
        GridError: the grid's origin is not on the octree's lattice.
    """
    stream = _occupancy_words(prediction, selection)
    return _message(prediction, frame_id, "OcTree", stream)


def encode_octomap_full(
    prediction: OccupancyPrediction,
    frame_id: str,
    selection: Selection = OBSERVED,
) -> bytes:
    """Return a serialised octomap_msgs/Octomap that holds a ColorOcTree: log-odds and class colours.

    Arguments and errors are those of `encode_octomap_binary`.
    """
    stream = _semantic_nodes(prediction, selection)
    return _message(prediction, frame_id, "ColorOcTree", stream)


def encode_planning_scene_world(
    prediction: OccupancyPrediction,
    frame_id: str,
    selection: Selection = OBSERVED,
) -> bytes:
    """Return a serialised moveit_msgs/PlanningSceneWorld without objects, with the OcTree at the origin of the frame.

    Arguments and errors are those of `encode_octomap_binary`.
    """
    stream = _occupancy_words(prediction, selection)
    message = CdrWriter()
    message.primitives("I", 0)  # collision_objects
    message.header(prediction.stamp_ns, frame_id)
    message.pose()
    _write_octomap(message, prediction, frame_id, "OcTree", stream)
    return message.finish()


def write_bt(
    path: Path | str,
    prediction: OccupancyPrediction,
    selection: Selection = OBSERVED,
) -> None:
    """Write the OcTree of a prediction as a `.bt` file.

    Raises:
        GridError: the grid's origin is not on the octree's lattice.
        OccDepthError: the file cannot be written.
    """
    write_octree(path, "OcTree", occupancy_stream(prediction, selection), prediction.grid.resolution)


def write_ot(
    path: Path | str,
    prediction: OccupancyPrediction,
    selection: Selection = OBSERVED,
) -> None:
    """Write the ColorOcTree of a prediction as an `.ot` file. Errors are those of `write_bt`."""
    write_octree(path, "ColorOcTree", semantic_stream(prediction, selection), prediction.grid.resolution)


def occupancy_stream(
    prediction: OccupancyPrediction,
    selection: Selection,
) -> bytes:
    """Return the stream of the OcTree."""
    return _occupancy_words(prediction, selection).tobytes()


def semantic_stream(
    prediction: OccupancyPrediction,
    selection: Selection,
) -> bytes:
    """Return the stream of the ColorOcTree."""
    return _semantic_nodes(prediction, selection).tobytes()


def _occupancy_words(
    prediction: OccupancyPrediction,
    selection: Selection,
) -> npt.NDArray[np.uint16]:
    labels = selected_labels(prediction, selection)
    states = np.empty(labels.shape, np.uint8)
    _states(labels.reshape(-1), states.reshape(-1))
    return binary_words(states, prediction.grid)


def _semantic_nodes(
    prediction: OccupancyPrediction,
    selection: Selection,
) -> npt.NDArray[np.uint64]:
    labels = selected_labels(prediction, selection)
    cells, leaves = leaf_cells(labels, prediction.confidence, prediction.classes)
    return color_nodes(cells, leaves, prediction.grid)


def leaf_table(classes: ClassTable) -> LeafTable:
    """Return the log-odds and colours of the cells of `leaf_cells`.

    If a label has probability p, empty space and all other classes together have probability 1 - p. Half of 1 - p
    counts as evidence against the label: occupied cells have occupancy (1 + p) / 2 and free cells (1 - p) / 2. The
    label therefore determines the side of OctoMap's threshold 0.5. Values are clamped as in the C++ library.
    """
    return _leaf_table(classes.rgb)


@lru_cache(maxsize=8)
def _leaf_table(colors: tuple[tuple[int, int, int], ...]) -> LeafTable:
    steps = (np.arange(LEVELS) + 0.5) / LEVELS
    occupied = np.array(colors[1:], np.uint8).reshape(-1, 3)
    chance = np.concatenate([[0.5], (1 - steps[::-1]) / 2, np.repeat((1 + steps) / 2, len(occupied))]).clip(*CLAMP)
    white = np.full((1 + LEVELS, 3), 255, np.uint8)
    rgb = np.concatenate([white, np.tile(occupied, (LEVELS, 1))])
    return LeafTable(np.log(chance / (1 - chance)).astype(np.float32), rgb)


def leaf_cells(
    labels: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint8], classes: ClassTable
) -> tuple[Cells, LeafTable]:
    """Return the cells of a ColorOcTree, `[X, Y, Z]`, and their leaf table. Labels without a class are unknown."""
    leaves = leaf_table(classes)
    cells: Cells = np.empty(labels.shape, np.uint8 if len(leaves.rgb) < 255 else np.uint16)
    _cells(labels.reshape(-1), np.ascontiguousarray(confidence).reshape(-1), len(classes) - 1, cells.reshape(-1))
    return cells, leaves


@compiled
def _states(labels: Bytes, states: Bytes) -> None:
    """Set the states of labels: 0 unknown, 1 free, 2 occupied."""
    for i in range(labels.size):
        label = labels[i]
        states[i] = np.uint8(label != UNKNOWN) + np.uint8((label != EMPTY) & (label != UNKNOWN))


@compiled
def _cells(labels: Bytes, confidence: Bytes, classes: int, cells: Cells) -> None:
    """Set the entries of labels in the leaf table of `classes` classes; labels without a class are unknown."""
    for i in range(labels.size):
        label, level = np.uint16(labels[i]), np.uint16(confidence[i] >> _LEVEL_SHIFT)
        cell = np.uint16(level * classes + label + LEVELS) if label != EMPTY else np.uint16(LEVELS - level)
        cells[i] = cell if label <= classes else 0


def _message(
    prediction: OccupancyPrediction, frame_id: str, kind: TreeKind, stream: npt.NDArray[np.unsignedinteger[Any]]
) -> bytes:
    message = CdrWriter()
    _write_octomap(message, prediction, frame_id, kind, stream)
    return message.finish()


def _write_octomap(
    message: CdrWriter,
    prediction: OccupancyPrediction,
    frame_id: str,
    kind: TreeKind,
    stream: npt.NDArray[np.unsignedinteger[Any]],
) -> None:
    message.header(prediction.stamp_ns, frame_id)
    message.primitives("?", kind == "OcTree")
    message.string(kind)
    message.primitives("d", prediction.grid.resolution)
    message.sequence(stream.view(np.int8))
