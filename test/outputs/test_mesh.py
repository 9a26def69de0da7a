"""Meshes: closed surfaces with outward normals and no inner faces, and PLY files with a matching header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.mesh import VoxelMesh, voxel_mesh, write_ply

GRID = VoxelGrid((1.0, -2.0, 0.5), (4, 3, 5), 0.5)


def normals(mesh: VoxelMesh) -> npt.NDArray[np.float64]:
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def volume(mesh: VoxelMesh) -> float:
    """Return the enclosed volume by the divergence theorem: a third of the surface integral of the position."""
    return float((mesh.vertices[mesh.faces].astype(np.float64).mean(axis=1) * normals(mesh)).sum() / 3)


def test_one_voxel_is_a_cube() -> None:
    labels = np.zeros(GRID.size, np.uint8)
    labels[1, 2, 3] = 9
    mesh = voxel_mesh(labels, GRID)
    assert mesh.vertices.shape == (8, 3) and mesh.faces.shape == (6, 4) and (mesh.labels == 9).all()
    np.testing.assert_allclose(mesh.vertices.min(axis=0), [1.5, -1.0, 2.0])
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [2.0, -0.5, 2.5])
    outward = mesh.vertices[mesh.faces].mean(axis=1) - mesh.vertices.mean(axis=0)
    assert ((normals(mesh) * outward).sum(axis=1) > 0).all()


labels_of = hnp.arrays(np.uint8, GRID.size, elements=st.sampled_from([0, 0, 1, 9, UNKNOWN]))


@settings(deadline=None)
@given(labels_of)
def test_the_surface_is_closed_and_holds_the_occupied_volume(labels: npt.NDArray[np.uint8]) -> None:
    mesh = voxel_mesh(labels, GRID)
    occupied = np.pad((labels != 0) & (labels != UNKNOWN), 1)
    exposed = sum(int((occupied & ~np.roll(occupied, step, axis)).sum()) for axis in range(3) for step in (1, -1))
    assert len(mesh.faces) == exposed
    # Every vertex is used, and vertices of one class have distinct positions.
    assert len(np.unique(mesh.faces)) == len(mesh.vertices)
    assert len(np.unique(np.column_stack([mesh.vertices, mesh.labels]), axis=0)) == len(mesh.vertices)
    assert (mesh.labels[mesh.faces] == mesh.labels[mesh.faces][:, :1]).all()
    np.testing.assert_allclose(volume(mesh), occupied.sum() * GRID.resolution**3, atol=1e-4)


def test_a_ply_file_round_trips(tmp_path: Path) -> None:
    labels = np.zeros(GRID.size, np.uint8)
    labels[0, 0], labels[2, 1, 1] = 13, 1
    mesh = voxel_mesh(labels, GRID)
    path = tmp_path / "deep" / "scene.ply"
    write_ply(path, mesh, comment="two\nlines")
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "comment two lines"]
    assert f"element vertex {len(mesh.vertices)}" in lines and f"element face {len(mesh.faces)}" in lines
    split = 15 * len(mesh.vertices)
    vertices = np.frombuffer(body[:split], [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    faces = np.frombuffer(body[split:], [("n", "u1"), ("at", "<i4", 4)])
    np.testing.assert_array_equal(vertices["xyz"], mesh.vertices)
    np.testing.assert_array_equal(vertices["rgb"], SEMANTIC_KITTI.colors[mesh.labels])
    assert (faces["n"] == 4).all()
    np.testing.assert_array_equal(faces["at"], mesh.faces)


def test_an_empty_scene_gives_an_empty_mesh(tmp_path: Path) -> None:
    mesh = voxel_mesh(np.full(GRID.size, UNKNOWN, np.uint8), GRID)
    assert len(mesh.vertices) == len(mesh.faces) == 0
    write_ply(tmp_path / "empty.ply", mesh)
    assert (tmp_path / "empty.ply").read_bytes().endswith(b"end_header\n")
