"""The options `--grid-origin` and `--grid-size`."""

from __future__ import annotations

import argparse

from occdepth_ros.grid import VoxelGrid

DEFAULT = VoxelGrid.semantic_kitti()


def add_grid_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare the options."""
    x, y, z = DEFAULT.origin
    parser.add_argument(
        "--grid-origin",
        nargs=3,
        type=float,
        metavar=("X", "Y", "Z"),
        default=DEFAULT.origin,
        help=f"lower corner of the voxel grid in the source's grid frame, m (default: {x:g} {y:g} {z:g})",
    )
    parser.add_argument(
        "--grid-size",
        nargs=3,
        type=int,
        metavar=("NX", "NY", "NZ"),
        default=DEFAULT.size,
        help="voxels of 0.2 m along x, y, z, if the model allows other sizes (default: 256 256 32)",
    )


def chosen_grid(arguments: argparse.Namespace, frame_id: str) -> VoxelGrid:
    """Return the requested grid.

    Raises:
        GridError: the grid is invalid.
    """
    return VoxelGrid(tuple(arguments.grid_origin), tuple(arguments.grid_size), DEFAULT.resolution, frame_id)
