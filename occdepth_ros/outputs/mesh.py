"""Mesh of the faces between occupied voxels and free or unknown space, and its PLY file.

PLY is the polygon file format (Turk, 1994), here binary little endian. MeshLab, Blender, CloudCompare and Open3D read
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN, ClassTable
from occdepth_ros.files import whole_file
from occdepth_ros.grid import VoxelGrid

# Corners of the face towards +axis, counterclockwise as seen from outside: offsets along (axis, axis + 1, axis + 2).
_TOWARDS = ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1))
_AWAY = ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0))

_VERTEX = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 4)])


@dataclass(frozen=True)
class VoxelMesh:
    """Mesh of square faces.

    Args:
        vertices: `[V, 3]` float32, metres in the grid's frame, shared by faces of the same class.
        labels: `[V]` uint8 class id of each vertex.
        faces: `[F, 4]` int32 vertex indices, counterclockwise as seen from outside.
    """

    vertices: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    faces: npt.NDArray[np.int32]


def voxel_mesh(labels: npt.NDArray[np.uint8], grid: VoxelGrid) -> VoxelMesh:
    """Return the faces between occupied voxels and neighbours that are free, unknown or outside the grid.

    Args:
        labels: `[X, Y, Z]` class ids; 0 = free, 255 = unknown.
        grid: grid of the voxels.
    """
    occupied = np.pad((labels != EMPTY) & (labels != UNKNOWN), 1)
    inside = occupied[1:-1, 1:-1, 1:-1]
    corners, classes = [], []
    for axis in range(3):
        for step, offsets in ((1, _TOWARDS), (-1, _AWAY)):
            cells = np.argwhere(inside & ~np.roll(occupied, -step, axis)[1:-1, 1:-1, 1:-1])
            corners.append(cells[:, None, :] + np.roll(np.array(offsets), axis, axis=1))
            classes.append(labels[tuple(cells.T)])
    corner = np.concatenate(corners)
    label = np.concatenate(classes)
    _, ny, nz = np.add(grid.size, 1)
    flat_index = (corner[..., 0] * ny + corner[..., 1]) * nz + corner[..., 2]
    key, faces = np.unique(flat_index << 8 | label[:, None], return_inverse=True)
    index = np.stack([key // (ny * nz << 8), (key >> 8) // nz % ny, (key >> 8) % nz], axis=1)
    vertices = np.asarray(grid.origin) + grid.resolution * index
    return VoxelMesh(vertices.astype(np.float32), (key & 255).astype(np.uint8), faces.reshape(-1, 4).astype(np.int32))


def write_ply(path: Path, mesh: VoxelMesh, classes: ClassTable = SEMANTIC_KITTI, *, comment: str = "") -> None:
    """Write a mesh with one colour per vertex as PLY. If writing fails, no file is left behind.

    Args:
        path: path of the file.
        mesh: mesh to write.
        classes: class table with the colours.
        comment: one line for the header, such as the source of the mesh.

    Raises:
        OutputError: the file cannot be written.
    """
    vertices = np.empty(len(mesh.vertices), _VERTEX)
    vertices["xyz"], vertices["rgb"] = mesh.vertices, classes.colors[mesh.labels]
    faces = np.empty(len(mesh.faces), _FACE)
    faces["count"], faces["corners"] = 4, mesh.faces
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        *([f"comment {' '.join(comment.split())}"] if comment.strip() else []),
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    header = "\n".join(lines).encode("ascii", "replace") + b"\n"
    with whole_file(path) as partial:
        partial.write_bytes(header + vertices.tobytes() + faces.tobytes())
