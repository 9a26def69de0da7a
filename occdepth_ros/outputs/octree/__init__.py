"""Conversion between dense grids and OctoMap streams or files, without insertion of single cells."""

from occdepth_ros.outputs.octree.binary import binary_stream, binary_words
from occdepth_ros.outputs.octree.color import LeafTable, color_nodes, color_stream
from occdepth_ros.outputs.octree.files import node_count, write_octree
from occdepth_ros.outputs.octree.lattice import lattice_key
from occdepth_ros.outputs.octree.reader import read_binary_stream, read_color_stream

__all__ = [
    "LeafTable",
    "binary_stream",
    "binary_words",
    "color_nodes",
    "color_stream",
    "lattice_key",
    "node_count",
    "read_binary_stream",
    "read_color_stream",
    "write_octree",
]
