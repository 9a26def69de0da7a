"""The C++ octomap library (through pyoctomap) reads our trees with the expected cells and writes identical bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.predictions import predict, predictions, random_labels
from hypothesis import HealthCheck, given, settings

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.mapping import MapConfig, OccupancyMap
from occdepth_ros.mapping.files import load_map
from occdepth_ros.outputs import octomap
from occdepth_ros.outputs.octree import read_binary_stream
from occdepth_ros.outputs.octree.files import node_count
from occdepth_ros.outputs.selection import Selection
from occdepth_ros.prediction import OccupancyPrediction, Visibility

pyoctomap = pytest.importorskip("pyoctomap", reason="pyoctomap is not installed: run make env")

VOXELS = Selection("all", completed_free=False)

in_one_folder = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def body(path: Path) -> bytes:
    return path.read_bytes().partition(b"\ndata\n")[2]


def read_back(path: Path) -> Any:
    if path.suffix == ".ot":
        return pyoctomap.ColorOcTree(0.1).read(str(path))
    tree = pyoctomap.OcTree(0.1)
    assert tree.readBinary(str(path))
    return tree


@in_one_folder
@given(prediction=predictions())
def test_the_library_writes_the_same_bytes(tmp_path: Path, prediction: OccupancyPrediction) -> None:
    ours, theirs = tmp_path / "ours.bt", tmp_path / "theirs.bt"
    octomap.write_bt(ours, prediction, VOXELS)
    tree = read_back(ours)
    assert tree.size() == node_count("OcTree", body(ours))
    assert tree.writeBinary(str(theirs))
    assert ours.read_bytes() == theirs.read_bytes()

    ours, theirs = tmp_path / "ours.ot", tmp_path / "theirs.ot"
    octomap.write_ot(ours, prediction, VOXELS)
    tree = read_back(ours)
    if tree.size() == 0:
        return  # the library crashes if it updates a tree without a root
    tree.updateInnerOccupancy()
    assert tree.write(str(theirs))
    assert ours.read_bytes() == theirs.read_bytes()


def test_every_cell_has_its_state_and_colour(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    grid = VoxelGrid((-1.0, -0.6, -0.4), (9, 7, 6), 0.2)
    labels = random_labels(rng, grid.size)
    labels[:4, :4, :4] = 9
    prediction = predict(labels, grid=grid)
    octomap.write_bt(tmp_path / "a.bt", prediction, VOXELS)
    octomap.write_ot(tmp_path / "a.ot", prediction, VOXELS)
    binary, color = read_back(tmp_path / "a.bt"), read_back(tmp_path / "a.ot")
    for index in np.ndindex(grid.size):
        center = grid.centers_of(np.array(index))
        for tree in (binary, color):
            node = tree.search(center)
            if labels[index] == 255:
                assert node is None
            else:
                assert tree.isNodeOccupied(node) == (labels[index] != 0)
        if labels[index] not in (0, 255):
            assert tuple(color.search(center).getColor()) == prediction.classes.rgb[labels[index]]


@in_one_folder
@given(prediction=predictions())
def test_trees_have_as_many_nodes_as_after_pruning_by_the_library(
    tmp_path: Path, prediction: OccupancyPrediction
) -> None:
    octomap.write_bt(tmp_path / "a.bt", prediction, VOXELS)
    tree = pyoctomap.OcTree(prediction.grid.resolution)
    # completed free space is unknown in the file
    seen_free = prediction.free & (prediction.visibility == Visibility.SEEN)
    for state, voxels in ((True, prediction.occupied), (False, seen_free)):
        for center in prediction.grid.centers_of(np.argwhere(voxels)):
            tree.updateNode(center, state)
    if tree.size():
        tree.toMaxLikelihood()
        tree.updateInnerOccupancy()
        tree.writeBinary(str(tmp_path / "b.bt"))  # `writeBinary` prunes the tree before writing
    assert body(tmp_path / "a.bt") == (body(tmp_path / "b.bt") if tree.size() else b"")


def test_colour_trees_of_one_class_have_as_many_nodes_as_after_pruning_by_the_library(tmp_path: Path) -> None:
    labels = np.where(random_labels(np.random.default_rng(5), (16, 16, 16), 4) == 0, 0, 9).astype(np.uint8)
    octomap.write_ot(tmp_path / "a.ot", predict(labels), VOXELS)
    tree = read_back(tmp_path / "a.ot")
    size = tree.size()
    assert size == node_count("ColorOcTree", body(tmp_path / "a.ot"))
    tree.prune()
    assert tree.size() == size


def test_a_semantic_kitti_scene_round_trips(tmp_path: Path, kitti_mini: Path) -> None:
    with np.load(kitti_mini / "dataset/sequences/00/voxels/000000.recon10.npz") as data:
        prediction = predict(np.ascontiguousarray(data["target"]), grid=VoxelGrid.semantic_kitti())
    octomap.write_bt(tmp_path / "a.bt", prediction, VOXELS)
    octomap.write_ot(tmp_path / "a.ot", prediction, VOXELS)
    read_back(tmp_path / "a.bt").writeBinary(str(tmp_path / "b.bt"))
    read_back(tmp_path / "a.ot").write(str(tmp_path / "b.ot"))
    assert (tmp_path / "a.bt").read_bytes() == (tmp_path / "b.bt").read_bytes()
    assert (tmp_path / "a.ot").read_bytes() == (tmp_path / "b.ot").read_bytes()
    occupied, free = read_binary_stream(body(tmp_path / "b.bt"), prediction.grid)
    assert np.array_equal(occupied, prediction.occupied)
    assert np.array_equal(free, prediction.free)


def test_a_map_loads_trees_that_the_library_wrote(tmp_path: Path) -> None:
    tree = pyoctomap.OcTree(0.2)
    occupied = np.array([[1.1, 0.1, 0.1], [-3.1, 2.1, 0.5]])
    for point in occupied:
        tree.updateNode(point, True)
    tree.updateNode(np.array([5.1, 5.1, 0.1]), False)
    tree.updateInnerOccupancy()
    tree.write(str(tmp_path / "full.ot"))
    tree.writeBinary(str(tmp_path / "binary.bt"))
    for name in ("full.ot", "binary.bt"):
        world = OccupancyMap(MapConfig(size=(48, 48, 32)))
        load_map(tmp_path / name, world)
        whole = world.whole()
        found = whole.grid.centers_of(np.argwhere(whole.occupied))
        np.testing.assert_allclose(found[np.argsort(-found[:, 0])], occupied, atol=1e-6)
        np.testing.assert_allclose(whole.grid.centers_of(np.argwhere(whole.free)), [[5.1, 5.1, 0.1]], atol=1e-6)
