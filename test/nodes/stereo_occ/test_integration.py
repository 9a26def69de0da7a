"""Replay and node as two processes: every topic holds what the engine predicts offline on the same pair."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from helpers import sequences
from helpers.nodes.node_processes import Listener, Process, call, header_of, stamp_of_header
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from visualization_msgs.msg import Marker

from occdepth_ros.camera import StereoRig
from occdepth_ros.cli import main as convert
from occdepth_ros.engine import Engine
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.nodes.conversions import camera_of, matrix_of, rig_of
from occdepth_ros.nodes.qos import LATCHED
from occdepth_ros.nodes.stereo_occ.monitoring.timing import STAGES
from occdepth_ros.nodes.stereo_occ.output_specs import OUTPUTS, Result
from occdepth_ros.nodes.stereo_occ.parameters import PARAMETERS, Settings, rule_of
from occdepth_ros.outputs.octree.files import write_octree
from occdepth_ros.outputs.selection import Selection, select
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.sources import open_source

pytestmark = pytest.mark.ros

FRAMES = 6
NEWEST_NS = (FRAMES - 1) * 100_000_000
DISPARITY = 6
GRID = VoxelGrid((0.0, -6.4, -3.2), (48, 64, 32), 0.2)
GROUND_TRUTH_M = sequences.FOCAL * sequences.BASELINE / DISPARITY


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Listener, Process, Path]]:
    """One run of replay and node; what was received is looked at by all tests.

    The replay reads the rosbag2 recording that `occdepth convert` makes of a KITTI folder."""
    folder = tmp_path_factory.mktemp("run")
    sequence = sequences.textured_wall(folder / "sequences" / "00", FRAMES, DISPARITY)
    listener = Listener()
    node = Process(
        "occdepth_ros.nodes.stereo_occ.node",
        folder / "node.log",
        model="stereo-geometry",
        grid_size=list(GRID.size),
        grid_origin=list(GRID.origin),
        extrinsics="tf",
        octomap_include="seen",
    )
    replay = None
    try:
        # both have found each other when its report of being active arrives
        listener.wait(lambda: _is_active(listener), "the node does not report that it is active", 240, node)
        listener.wait(lambda: listener.node.count_subscribers("/left/image_rect") > 1, "it does not listen", 120, node)
        time.sleep(0.5)
        # the second subscriber is the listener
        # the recording that `occdepth convert` makes of the sequence, whose predictions offline are compared
        assert convert(["convert", str(sequence), str(folder / "bag")]) == 0
        # pairs are a second apart: on a loaded machine the first prediction alone takes longer than half a second
        given: dict[str, Any] = {"source": folder / "bag", "rate": 0.1, "wait_for_subscribers": 2}
        replay = Process("occdepth_ros.nodes.replay.node", folder / "replay.log", **given)
        listener.wait(lambda: _answered(listener), "the newest pair was not answered", 120, node, replay)
        listener.wait(lambda: listener.received["/diagnostics"], "no diagnostics", 60, node)
        yield listener, node, sequence
        assert replay.end() == 0, replay.text()
        assert node.end() == 0, node.text()
        assert "Traceback" not in node.text()
        assert "real time: " in node.text(), "the report of the run is logged at its end"
        assert "Failed to publish" not in node.text()
    finally:
        for process in (replay, node):
            if process is not None and process.process.poll() is None:
                process.end(signal.SIGKILL)
        listener.close()


def _is_active(listener: Listener) -> bool:
    reports = (status for message in listener.received["/diagnostics"] for status in message.status)
    return any(status.name == "/stereo_occ: outputs" and status.message == "active" for status in reports)


def _answered(listener: Listener) -> bool:
    """Whether the newest pair has come out of every output. A busy machine may drop an older one."""
    newest = [listener.outputs(spec.name)[-1:] for spec in OUTPUTS if not spec.is_constant]
    times = [listener.outputs(f"debug/processing_time/{stage}_ms") for stage in STAGES]
    return all(times) and all(message and stamp_of_header(header_of(message[0])) == NEWEST_NS for message in newest)


@pytest.fixture(scope="module")
def rig(run: tuple[Listener, Process, Path]) -> StereoRig:
    """The rig that the topics describe."""
    listener = run[0]
    left, right = (camera_of(listener.received[f"/{side}/camera_info"][0], side) for side in ("left", "right"))
    frame = listener.received["/left/camera_info"][0].header.frame_id
    pose = matrix_of(listener.buffer.lookup_transform(frame, "velodyne", Time()).transform)
    return rig_of(left, right, pose, frame)


@pytest.fixture(scope="module")
def predictions(run: tuple[Listener, Process, Path], rig: StereoRig) -> dict[int, OccupancyPrediction]:
    """Offline predictions of the frames, by stamp."""
    source = open_source(run[2])
    engine = Engine(rig, GRID, model="stereo-geometry")
    pairs = [source[index] for index in range(FRAMES)]
    return {pair.stamp_ns: engine.predict(pair.left, pair.right, stamp_ns=pair.stamp_ns) for pair in pairs}


def test_pairs_are_answered_once_and_in_order_on_every_output(run: tuple[Listener, Process, Path]) -> None:
    listener = run[0]
    for spec in OUTPUTS:
        stamps = [stamp_of_header(header_of(message)) for message in listener.outputs(spec.name)]
        assert stamps == sorted(set(stamps)), spec.name
        assert len(stamps) >= (1 if spec.is_constant else FRAMES // 2), f"{spec.name}: {stamps}\n{run[1].text()}"


def test_every_message_is_the_offline_prediction(
    run: tuple[Listener, Process, Path], predictions: dict[int, OccupancyPrediction], rig: StereoRig
) -> None:
    listener = run[0]
    settings = Settings.from_values({"octomap_include": "seen"})
    frame = listener.received["/left/camera_info"][0].header.frame_id
    for spec in OUTPUTS:
        for message in listener.outputs(spec.name):
            result = Result(predictions[stamp_of_header(header_of(message))], frame, rig)
            expected = spec.encode(result, settings)
            assert message == deserialize_message(expected, spec.message), spec.name


def test_the_grid_holds_the_labels_and_the_wall(
    run: tuple[Listener, Process, Path], predictions: dict[int, OccupancyPrediction]
) -> None:
    for message in run[0].outputs("grid"):
        prediction = predictions[stamp_of_header(message.header)]
        size = (message.size_x, message.size_y, message.size_z)
        assert size == GRID.size and message.resolution == GRID.resolution
        assert (message.origin.x, message.origin.y, message.origin.z) == GRID.origin
        assert message.header.frame_id == "velodyne" and message.model == "stereo-geometry"
        for name in ("labels", "confidence", "visibility"):
            values = np.asarray(getattr(message, name), np.uint8).reshape(size)
            np.testing.assert_array_equal(values, getattr(prediction, name), err_msg=name)
        assert message.class_names[1] == "car" and bytes(message.class_colors[3:6]) == bytes((100, 150, 245))
        wall = GRID.centers_of(np.argwhere(prediction.occupied))
        assert len(wall) > 50
        # the camera stands 0.3 m before the LiDAR
        assert np.median(wall[:, 0]) == pytest.approx(GROUND_TRUTH_M + 0.3, abs=0.3)


@pytest.mark.parametrize(
    ("topic", "kind", "suffix"), [("octomap_binary", "OcTree", "bt"), ("octomap_full", "ColorOcTree", "ot")]
)
def test_the_octomap_library_finds_the_seen_cells(
    run: tuple[Listener, Process, Path],
    predictions: dict[int, OccupancyPrediction],
    tmp_path: Path,
    topic: str,
    kind: Literal["OcTree", "ColorOcTree"],
    suffix: str,
) -> None:
    pyoctomap = pytest.importorskip("pyoctomap", reason="pyoctomap is not installed: run make env")
    message = run[0].outputs(topic)[-1]
    assert (message.id, message.binary) == (kind, kind == "OcTree")
    assert message.resolution == GRID.resolution and message.header.frame_id == "velodyne"
    file = tmp_path / f"map.{suffix}"
    write_octree(file, kind, np.asarray(message.data, np.int8).tobytes(), message.resolution)
    if kind == "OcTree":
        tree = pyoctomap.OcTree(GRID.resolution)
        assert tree.readBinary(str(file))
    else:
        tree = pyoctomap.ColorOcTree(GRID.resolution).read(str(file))
    prediction = predictions[stamp_of_header(message.header)]
    seen = prediction.visibility == Visibility.SEEN
    chosen = np.random.default_rng(0).choice(GRID.count, 4000, replace=False)
    cells = np.concatenate([np.argwhere(prediction.occupied), np.stack(np.unravel_index(chosen, GRID.size), -1)])
    for index in map(tuple, cells):
        node = tree.search(GRID.centers_of(np.array(index)))
        if not seen[index] or prediction.unknown[index]:
            assert node is None
            continue
        assert tree.isNodeOccupied(node) == prediction.occupied[index]
        if kind == "ColorOcTree" and prediction.occupied[index]:
            assert tuple(node.getColor()) == prediction.classes.rgb[prediction.labels[index]]


def test_the_cloud_holds_the_occupied_voxels(
    run: tuple[Listener, Process, Path], predictions: dict[int, OccupancyPrediction]
) -> None:
    for message in run[0].outputs("points"):
        prediction = predictions[stamp_of_header(message.header)]
        kinds = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
        layout = np.dtype(
            {
                "names": [f.name for f in message.fields],
                "formats": [kinds[f.datatype] for f in message.fields],
                "offsets": [f.offset for f in message.fields],
                "itemsize": message.point_step,
            }
        )
        points = np.frombuffer(bytes(message.data), layout)
        index, inside = GRID.index_of(np.stack([points["x"], points["y"], points["z"]], -1).astype(np.float64))
        kept = select(prediction, Selection(border=Settings().border_voxels))[0]
        assert inside.all() and len(points) == kept.sum()
        labels = prediction.labels[tuple(index.T)]
        np.testing.assert_array_equal(points["label"], labels)
        rgb = points["rgb"].view(np.uint32)
        colors = np.stack([rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255], -1)
        np.testing.assert_array_equal(colors, prediction.classes.colors[labels])


def test_the_markers_are_boxes_in_the_grid(run: tuple[Listener, Process, Path]) -> None:
    for message in run[0].outputs("markers"):
        surface = [marker for marker in message.markers if marker.type == Marker.CUBE_LIST and marker.points]
        assert surface and sum(len(marker.points) for marker in surface) <= Settings().max_markers
        for marker in surface:
            assert len(marker.points) == len(marker.colors)
            assert marker.header.frame_id == "velodyne"
            half = 0.5 * np.array([marker.scale.x, marker.scale.y, marker.scale.z])
            assert (half >= 0.49 * GRID.resolution).all()
            centers = np.array([(p.x, p.y, p.z) for p in marker.points])
            upper = np.asarray(GRID.origin) + np.asarray(GRID.size) * GRID.resolution
            assert (centers - half > np.asarray(GRID.origin) - 0.01).all() and (centers + half < upper + 0.01).all()
        assert [marker.ns for marker in message.markers][-1] == "cameras"


def test_the_occupancy_grid_is_aligned_with_the_voxel_grid(run: tuple[Listener, Process, Path]) -> None:
    for message in run[0].outputs("occupancy_grid"):
        info = message.info
        assert (info.width, info.height) == GRID.size[:2]
        assert info.resolution == pytest.approx(GRID.resolution)
        assert (info.origin.position.x, info.origin.position.y) == pytest.approx(GRID.origin[:2], abs=1e-6)
        values = np.asarray(message.data, np.int8)
        assert len(values) == GRID.size[0] * GRID.size[1] and values.min() >= -1 and values.max() <= 100
        assert (values == -1).any() and (values == 100).any()


def test_the_depth_is_that_of_the_wall(
    run: tuple[Listener, Process, Path], predictions: dict[int, OccupancyPrediction]
) -> None:
    for message in run[0].outputs("depth"):
        assert message.encoding == "32FC1" and message.header.frame_id == "camera_left_optical"
        depth = np.frombuffer(bytes(message.data), np.float32).reshape(message.height, message.width)
        np.testing.assert_array_equal(depth, predictions[stamp_of_header(message.header)].depth)
        assert np.nanmedian(depth) == pytest.approx(GROUND_TRUTH_M, rel=0.02)


def test_latched_topics_reach_whoever_comes_later(run: tuple[Listener, Process, Path]) -> None:
    listener = run[0]
    latched = [spec for spec in OUTPUTS if spec.qos is LATCHED]
    names = {"octomap_binary", "octomap_full", "occupancy_grid", "markers", "legend", "label_info"}
    assert {spec.name for spec in latched} == names
    for spec in latched:
        listener.subscribe(spec.message, f"/stereo_occ/{spec.name}", LATCHED, f"late {spec.name}")
    listener.wait(lambda: all(listener.received[f"late {spec.name}"] for spec in latched), "nothing came late", 60)
    for spec in latched:
        late = listener.received[f"late {spec.name}"]
        assert len(late) == 1
        assert late[0] == listener.outputs(spec.name)[-1]


def test_times_and_diagnostics(run: tuple[Listener, Process, Path]) -> None:
    listener, node, _ = run
    for stage in STAGES:
        values = [message.data for message in listener.outputs(f"debug/processing_time/{stage}_ms")]
        assert len(values) >= FRAMES // 2 and all(0 <= value < 60_000 for value in values), stage
    tell = listener.received["/diagnostics"]

    def complete() -> bool:
        status = {s.name: s for s in tell[-1].status}.get("/stereo_occ: outputs")
        processed = {v.key: v.value for v in status.values}.get("processed pairs", "0") if status else "0"
        return int(processed) >= len(listener.outputs("grid"))

    listener.wait(complete, "the diagnostics do not count the pairs", 60, node)
    status = {s.name.removeprefix("/stereo_occ: "): s for s in tell[-1].status}
    assert set(status) == {"input", "synchronisation", "calibration", "extrinsics", "model", "outputs"}
    entries = {name: {v.key: v.value for v in s.values} for name, s in status.items()}
    assert entries["model"]["model"] == "stereo-geometry" and int(entries["synchronisation"]["pairs"]) <= FRAMES
    assert float(entries["calibration"]["baseline m"]) == pytest.approx(sequences.BASELINE)
    assert entries["extrinsics"]["source"] == "static tf"


def test_poses_reach_tf(run: tuple[Listener, Process, Path]) -> None:
    listener = run[0]
    # a recording that begins at 0 cannot be asked for its first moment: tf2 takes 0 for the latest; what the replay
    # says last may leave with it
    stamps = [index * 100_000_000 for index in range(1, FRAMES - 1)]
    moved = []
    frames = "map", "camera_left_optical"
    last = Time(nanoseconds=stamps[-1])
    listener.wait(lambda: listener.buffer.can_transform(*frames, last), "the poses did not come", 60)
    for stamp in stamps:
        found = listener.buffer.lookup_transform(*frames, Time(nanoseconds=stamp))
        moved.append(matrix_of(found.transform)[:3, 3])
    expected = sequences.lidar_poses(FRAMES)[1:-1, :3, 3]
    np.testing.assert_allclose(np.diff(moved, axis=0)[:, 0], np.diff(expected, axis=0)[:, 0], atol=0.05)


def test_parameter_services_return_descriptions_and_reasons_of_rejection(run: tuple[Listener, Process, Path]) -> None:
    listener = run[0]
    names = list(PARAMETERS)
    described = call(listener, DescribeParameters, "describe_parameters", DescribeParameters.Request(names=names))
    assert [d.description for d in described.descriptors] == [rule_of(name).text for name in names]
    for name, value, expected_text in (
        ("max_markers", 0, "out of range"),
        ("octomap_include", "everything", "'everything' is not one of seen, seen+completed, all"),
        ("model", "occdepth-b3", "takes effect only when the node is configured"),
    ):
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = call(listener, SetParameters, "set_parameters", request).results[0]
        assert not result.successful and expected_text in result.reason


def test_the_node_brought_itself_up_and_obeys_a_lifecycle_manager(run: tuple[Listener, Process, Path]) -> None:
    listener = run[0]

    def state() -> str:
        return str(call(listener, GetState, "get_state", GetState.Request()).current_state.label)

    assert state() == "active"
    for transition, reached in (
        (Transition.TRANSITION_DEACTIVATE, "inactive"),
        (Transition.TRANSITION_CLEANUP, "unconfigured"),
        (Transition.TRANSITION_CONFIGURE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
    ):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert call(listener, ChangeState, "change_state", request).success
        assert state() == reached
