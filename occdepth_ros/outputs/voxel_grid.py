"""Encoders of dense voxel grids for viewers: nav2_msgs/VoxelGrid and foxglove_msgs/VoxelGrid.

nav2's grid has one uint32 per column: bit z is set where layer z is marked or unknown, bit 16 + z where it is marked
(nav2_voxel_grid/voxel_grid.hpp). It has at most 16 layers; layers of a higher grid are merged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN, ClassTable
from occdepth_ros.compiled import compiled
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.markers import class_colors
from occdepth_ros.outputs.selection import ALL, Selection, selected_labels
from occdepth_ros.outputs.sparse import Words, column_words, lowest_bit, occupied_words
from occdepth_ros.outputs.surface import COMPLETED
from occdepth_ros.prediction import OccupancyPrediction, Visibility

_SEEN = int(Visibility.SEEN)
LAYERS = 16
"""Maximum number of layers of nav2_msgs/VoxelGrid."""
FOXGLOVE_FIELDS = (
    *("timestamp", "frame_id", "pose", "row_count", "column_count", "cell_size", "slice_stride", "row_stride"),
    *("cell_stride", "fields", "data"),
)
"""Fields of foxglove_msgs/VoxelGrid that `encode_foxglove_voxel_grid` writes."""
FOXGLOVE_UINT8 = 1
CHANNELS = ("red", "green", "blue", "alpha")
"""Fields of a cell, one byte each, as Foxglove names them."""


def encode_nav2_voxel_grid(
    prediction: OccupancyPrediction,
    frame_id: str,
    selection: Selection,
) -> bytes:
    """Return a serialised nav2_msgs/VoxelGrid.

    Layers are merged in groups of 2, 4, 8 and so on. The result is marked if one is occupied, free if all are free, and
    unknown otherwise.

    Args:
        prediction: prediction to encode.
        frame_id: frame of the header.
        selection: marked and free voxels; all others are unknown.
    """
    grid = prediction.grid
    nx, ny, nz = grid.size
    merged = 1
    while -(-nz // merged) > LAYERS:
        merged *= 2
    layers = -(-nz // merged)
    labels = selected_labels(prediction, selection)
    labels = labels.reshape(nx * ny, nz)
    marked = _layers((labels - np.uint8(1)) < np.uint8(UNKNOWN - 1), merged, need_all=False)
    free = _layers(labels == EMPTY, merged, need_all=True)
    data = marked << np.uint32(LAYERS) | marked | (~free & np.uint32((1 << layers) - 1))
    message = CdrWriter()
    message.header(prediction.stamp_ns, frame_id)
    message.sequence(np.ascontiguousarray(data.reshape(nx, ny).T).reshape(-1))
    message.primitives("fff", *grid.origin)
    message.primitives("ddd", grid.resolution, grid.resolution, merged * grid.resolution)
    message.primitives("III", nx, ny, layers)
    return message.finish()


def encode_foxglove_voxel_grid(cells: ColoredCells, stamp_ns: int, frame_id: str) -> bytes:
    """Return a serialised foxglove_msgs/VoxelGrid with the fields of `FOXGLOVE_FIELDS`.

    Args:
        cells: the cells.
        stamp_ns: time, nanoseconds.
        frame_id: frame of the cells.
    """
    _, rows, columns, step = cells.rgba.shape
    message = CdrWriter()
    message.header(stamp_ns, frame_id)
    message.pose(cells.origin)
    message.primitives("IIddd", rows, columns, *[cells.resolution] * 3)
    message.primitives("III", step * columns * rows, step * columns, step)
    message.primitives("I", len(CHANNELS))
    for offset, name in enumerate(CHANNELS):
        message.string(name)
        message.primitives("IB", offset, FOXGLOVE_UINT8)
    message.sequence(cells.rgba.reshape(-1))
    return message.finish()


@dataclass(frozen=True)
class ColoredCells:
    """The smallest box with all selected occupied voxels.

    Args:
        rgba: `[Z, Y, X, 4]` uint8; alpha is 0 in cells that are not occupied.
        origin: lower corner of the box in the grid's frame, metres.
        resolution: edge of a cell, metres.
    """

    rgba: npt.NDArray[np.uint8]
    origin: tuple[float, float, float]
    resolution: float


def colored_cells(prediction: OccupancyPrediction, selection: Selection = ALL) -> ColoredCells:
    """Return the selected occupied voxels in class colours, lighter where they were completed.

    The box has one transparent cell where no voxel is occupied.

    Args:
        prediction: prediction to encode.
        selection: the voxels to encode.
    """
    grid = prediction.grid
    labels = selected_labels(prediction, selection)
    occupied = occupied_words(labels)
    columns = (occupied != 0).any(axis=2)
    every = np.bitwise_or.reduce(occupied.reshape(-1, occupied.shape[2]), axis=0)
    layers = np.unpackbits(every.view(np.uint8), bitorder="little")
    low, size = [], []
    for present, total in zip((columns.any(axis=1), columns.any(axis=0), layers), grid.size, strict=True):
        index = np.flatnonzero(present)
        low.append(int(index[0]) if len(index) else total - 1)
        size.append(int(index[-1]) - low[-1] + 1 if len(index) else 1)
    cells = np.zeros((size[2], size[1], size[0]), np.uint32)
    label, visibility = np.ascontiguousarray(labels), np.ascontiguousarray(prediction.visibility)
    _paint(occupied, label, visibility, _packed(prediction.classes), np.array(low), cells)
    x0, y0, z0 = (o + grid.resolution * first for o, first in zip(grid.origin, low, strict=True))
    return ColoredCells(cells.view(np.uint8).reshape(*cells.shape, 4), (x0, y0, z0), grid.resolution)


@compiled
def _paint(
    occupied: Words,
    labels: npt.NDArray[np.uint8],
    visibility: npt.NDArray[np.uint8],
    colors: npt.NDArray[np.uint32],
    low: npt.NDArray[np.int64],
    cells: npt.NDArray[np.uint32],
) -> None:
    """Write the colours of occupied voxels into the cells of a box, `[Z, Y, X]`, with its lowest voxel at `low`."""
    for x in range(low[0], low[0] + cells.shape[2]):
        for y in range(low[1], low[1] + cells.shape[1]):
            for part in range(occupied.shape[2]):
                word = occupied[x, y, part]
                while word != 0:
                    z = 64 * part + int(lowest_bit(word))
                    word &= word - np.uint64(1)
                    key = labels[x, y, z] + (0 if visibility[x, y, z] == _SEEN else COMPLETED)
                    cells[z - low[2], y - low[1], x - low[0]] = colors[key]


def _packed(classes: ClassTable) -> npt.NDArray[np.uint32]:
    """Return opaque colours of seen and of completed voxels by label, `[512]`: bytes red, green, blue, alpha."""
    rgba = np.full((2, 256, 4), 255, np.uint8)
    rgba[..., :3] = np.rint(255 * class_colors(classes))
    return rgba.reshape(-1, 4).view(np.uint32).reshape(-1)


def _layers(mask: npt.NDArray[np.bool_], merged: int, *, need_all: bool) -> npt.NDArray[np.uint32]:
    """Merge `merged` layers of columns `[N, Z]` to one by any or all, and return each column as bits, `[N]`."""
    columns, layers = mask.shape
    missing = -layers % merged
    if missing:
        mask = np.pad(mask, ((0, 0), (0, missing)), constant_values=need_all)
    if merged <= 8:
        # viewed as integers, several bytes are compared at once
        groups = np.ascontiguousarray(mask).view(f"u{merged}")
        pooled = groups == np.ones(merged, np.uint8).view(f"u{merged}")[0] if need_all else groups != 0
    else:
        groups = mask.reshape(columns, -1, merged)
        pooled = groups.all(axis=2) if need_all else groups.any(axis=2)
    return column_words(pooled)[:, 0].astype(np.uint32)
