"""`python -m occdepth_ros.mapping.warm_up`: compile the loops of the map and of the messages, once per machine.

Otherwise the first prediction, subscriber or map file waits for the compilation. `make env` runs this module.
"""

from __future__ import annotations

import numpy as np

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.mapping.config import MapConfig
from occdepth_ros.mapping.fusion import OccupancyMap
from occdepth_ros.mapping.octree_blocks import blocks_of
from occdepth_ros.outputs.markers import encode_markers
from occdepth_ros.outputs.octomap import occupancy_stream, semantic_stream
from occdepth_ros.outputs.octree.files import OctreeFile
from occdepth_ros.outputs.points import point_rows
from occdepth_ros.outputs.selection import ALL, Selection
from occdepth_ros.outputs.voxel_grid import colored_cells
from occdepth_ros.prediction import OccupancyPrediction, Visibility


def warm_up() -> None:
    """Call every compiled function on a small prediction."""
    grid = VoxelGrid((0.0, -1.6, -0.8), (16, 16, 8), 0.2)
    labels = np.random.default_rng(0).choice([EMPTY, 1, UNKNOWN], grid.size).astype(np.uint8)
    confidence = np.full(grid.size, 200, np.uint8)
    visibility = np.full(grid.size, int(Visibility.SEEN), np.uint8)
    depth = np.full((1, 1), np.nan, np.float32)
    prediction = OccupancyPrediction(grid, labels, confidence, visibility, depth)
    world = OccupancyMap(MapConfig(size=(48, 48, 32)))
    pose = np.eye(4)
    # forwards and backwards, so that blocks are packed and unpacked
    for step, x in enumerate([0.0, *np.arange(2.0, 13.0, 4.0), *np.arange(12.0, -1.0, -4.0)]):
        pose[0, 3] = x
        shifted = OccupancyPrediction(grid, labels, confidence, visibility, depth, stamp_ns=step * 100_000_000)
        world.integrate(shifted, pose)
    world.snapshot()
    binary = OctreeFile("OcTree", True, 0.2, occupancy_stream(prediction, Selection("seen")))
    full = OctreeFile("ColorOcTree", False, 0.2, semantic_stream(prediction, Selection("seen")))
    for file in (binary, full):
        blocks_of(file, world.config, world.classes, 0)
    point_rows(prediction, ALL)
    encode_markers(prediction, "map", ALL)
    colored_cells(prediction, ALL)


if __name__ == "__main__":
    warm_up()
