"""Compiled loop of the ground profile, see `ground_profile`."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled
from occdepth_ros.models.edge_bev.config import LIFT
from occdepth_ros.models.edge_bev.formats import number


@compiled
def add_profile(
    first: Any, last: Any, layers: Any, columns_y: Any, lowest: Any, spacing: Any, profile: Any, height: Any, out: Any
) -> None:
    """Add the profile of the lifted columns from `first` to `last` to the occupancy of their voxels.

    Args:
        layers: lifted voxels along z.
        columns_y: lifted columns along y.
        lowest: height of the first node above the ground, voxel edges.
        spacing: spacing of the nodes, voxel edges.
        profile: values of the nodes of the columns of each lifted column, `[X/2 Y/2, 4 nodes]`.
        height: height of the ground in every column, `[X, Y]`, voxel edges above the grid's lower face.
        out: occupancy logits, `[X/2 Y/2 layers, 8]` float32.
    """
    nodes = profile.shape[1] // LIFT**2
    top = layers * LIFT
    # neighbouring layers have the same position between their nodes, a whole number of nodes apart
    step = int(np.rint(np.float32(1) / spacing))
    # without a node the value is 0
    values = np.zeros(nodes + 2, np.float32)
    for column in range(first, last):
        x, y = column // columns_y, column % columns_y
        for fine in range(LIFT**2):
            foot = height[LIFT * x + fine // LIFT, LIFT * y + fine % LIFT] + lowest
            begin = int(min(max(np.ceil(foot - spacing - np.float32(0.5)), np.float32(0)), np.float32(top)))
            at = (np.float32(begin) + np.float32(0.5) - foot) / spacing + np.float32(1)
            lower = int(np.floor(at))
            share = np.float32(at) - np.float32(lower)
            for node in range(nodes):
                values[node + 1] = number(profile[column, fine * nodes + node])
            for layer in range(begin, min(begin + (nodes - lower + step) // step, top)):
                value = (np.float32(1) - share) * values[lower] + share * values[lower + 1]
                out[column * layers + layer // LIFT, fine * LIFT + layer % LIFT] += value
                lower += step
