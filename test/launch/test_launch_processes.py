"""Launch files as started processes: namespaces, end of a replay, failures and Ctrl-C."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("launch_ros.actions", reason="launch and launch_ros are not installed (PyPI has none)")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from ament_index_python.packages import get_packages_with_prefixes
from helpers.nodes.node_processes import DEEP_QUEUE, Command, Listener
from nav_msgs.msg import OccupancyGrid
from nav_msgs.msg import Path as PathMessage

from occdepth_ros.nodes.launch_names import NAV2_LIFECYCLE_MANAGER, NAV2_NODES

pytestmark = pytest.mark.ros

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
# as `ros2 launch FILE NAME:=VALUE ...`
START = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource
given = [tuple(argument.split(":=", 1)) for argument in sys.argv[2:]]
file = IncludeLaunchDescription(AnyLaunchDescriptionSource(sys.argv[1]), launch_arguments=given)
service = LaunchService()
service.include_launch_description(LaunchDescription([file]))
sys.exit(service.run())
"""
INCLUDING = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace

def generate_launch_description():
    file = IncludeLaunchDescription(PythonLaunchDescriptionSource({file!r}))
    return LaunchDescription([GroupAction([PushRosNamespace("fleet"), file])])
"""
STUB = """#!/bin/sh
printf '%s\\n' "$0" "$@" >> "$STUB_ARGUMENTS"
trap 'exit 0' INT TERM
while :; do sleep 0.1; done
"""
REPLAYED = {"source": "sample", "count": "3", "model": "stereo-geometry", "rviz": "false"}
Start = Callable[..., Command]
Stubs = Callable[[dict[str, str]], dict[str, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a launch file of the package or at a path, in a process group of its own."""
    commands: list[Command] = []

    def begin(file: str | Path, environment: dict[str, str] | None = None, **given: str) -> Command:
        arguments = [str(LAUNCH / file), *(f"{name}:={value}" for name, value in given.items())]
        where = {"ROS_LOG_DIR": str(tmp_path / "log"), **(environment or {})}
        commands.append(Command(["-c", START, *arguments], tmp_path / f"{len(commands)}.log", **where))
        return commands[-1]

    yield begin
    for command in commands:
        if command.process.poll() is None:
            command.end(signal.SIGKILL)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def stubs(tmp_path: Path) -> Stubs:
    """Make packages of one executable each, which write their arguments to the file STUB_ARGUMENTS, and return the
    environment of a launch that finds them."""
    prefix = tmp_path / "prefix"

    def make(packages: dict[str, str]) -> dict[str, str]:
        for executable, package in packages.items():
            file = prefix / "lib" / package / executable
            marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / package
            for path in (file, marker):
                path.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
            file.write_text(STUB)
            file.chmod(0o755)
        prefixes = os.pathsep.join([str(prefix), os.environ.get("AMENT_PREFIX_PATH", "")])
        return {"AMENT_PREFIX_PATH": prefixes, "STUB_ARGUMENTS": str(tmp_path / "arguments.txt")}

    return make


def wait(command: Command, text: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while text not in command.text():
        assert command.process.poll() is None, command.text()
        assert time.monotonic() < end, f"{text!r} is not in\n{command.text()}"
        time.sleep(0.05)


def ended(command: Command, code: int = 0) -> str:
    """What a launch printed that ends by itself or after a signal."""
    assert command.process.wait(120) == code, command.text()
    text = command.text()
    assert "Traceback" not in text, text
    # all processes of the launch are in its group
    with pytest.raises(ProcessLookupError):
        os.killpg(command.process.pid, 0)
    return text


def test_a_replay_in_pushed_and_own_namespaces_ends_by_itself(
    tmp_path: Path, start: Start, listener: Listener, stubs: Stubs
) -> None:
    viewer = stubs({"rviz2": "rviz2"})
    including = tmp_path / "including.launch.py"
    including.write_text(INCLUDING.format(file=str(LAUNCH / "kitti_replay.launch.py")))
    grid = "/fleet/robot1/stereo_occ/occupancy_grid"
    listener.subscribe(OccupancyGrid, grid, DEEP_QUEUE)
    given = {"namespace": "robot1", "left_namespace": "cam/l", "right_namespace": "/shared/r", "log_level": "debug"}
    command = start(including, viewer, **{**REPLAYED, **given, "rviz": "true", "on_exit_shutdown": "true"})
    text = ended(command)
    assert "process has died" not in text
    assert "active: subscribed to /fleet/robot1/cam/l/image_rect and /shared/r/image_rect" in text
    debug = [line for line in text.splitlines() if "[DEBUG]" in line]
    assert any("[fleet.robot1.stereo_occ]: pair " in line for line in debug), text
    assert all("[fleet.robot1." in line for line in debug), "the libraries log at debug as well"
    listener.wait(lambda: listener.received[grid], "no grid", 60, command)
    arguments = Path(viewer["STUB_ARGUMENTS"]).read_text().splitlines()
    assert {
        "/stereo_occ/markers:=/fleet/robot1/stereo_occ/markers",
        "/stereo_occ/map/markers:=/fleet/robot1/stereo_occ/map/markers",
        "/left/image_rect:=/fleet/robot1/cam/l/image_rect",
        "/right/camera_info:=/shared/r/camera_info",
    } <= set(arguments)


def test_the_outputs_stay_after_the_replay_until_ctrl_c(start: Start) -> None:
    command = start("kitti_replay.launch.py", **REPLAYED)
    wait(command, "the replay has ended")
    wait(command, "stream_ended")
    assert command.process.poll() is None
    command.end()
    assert "process has finished cleanly" in ended(command)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"source": "/no/such/folder"}, ("the path does not exist", "replay ended with exit code 2")),
        ({"model": "none"}, ("'none' is not one of", "stereo_occ ended with exit code 2")),
    ],
)
def test_a_failed_replay_or_node_ends_the_launch_with_an_error(
    given: dict[str, str], words: tuple[str, ...], start: Start
) -> None:
    text = ended(start("kitti_replay.launch.py", **{**REPLAYED, **given}), 1)
    for word in words:
        assert word in text


def test_the_example_planner_plans_in_the_namespace_of_the_node(start: Start, listener: Listener) -> None:
    path = "/robot1/stereo_occ/map/path"
    listener.subscribe(PathMessage, path, DEEP_QUEUE)
    given = {name: REPLAYED[name] for name in ("source", "model", "rviz")}
    command = start("nav2_demo.launch.py", **given, namespace="robot1")
    listener.wait(lambda: listener.received[path], "no path", 120, command)
    command.end()
    ended(command)


@pytest.mark.parametrize(
    ("file", "given"),
    [
        ("stereo_occ.launch.py", {"model": "stereo-geometry"}),
        ("autoware.launch.xml", {}),
        ("px4.launch.xml", {"left": "cam/l"}),
    ],
)
def test_ctrl_c_ends_a_node_on_live_topics_without_error(file: str, given: dict[str, str], start: Start) -> None:
    if file.endswith(".xml"):
        pytest.importorskip("launch_xml", reason="launch_xml is not installed (PyPI has none)")
    command = start(file, **given)
    wait(command, "active: subscribed to")
    command.end()
    assert "process has finished cleanly" in ended(command)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.7])
def test_ctrl_c_during_the_start_ends_everything_without_error(seconds: float, start: Start) -> None:
    command = start("kitti_replay.launch.py", **REPLAYED)
    wait(command, "process started with pid")
    time.sleep(seconds)
    command.end()
    assert "process has died" not in ended(command)


NAV2 = {**NAV2_NODES, "lifecycle_manager": NAV2_LIFECYCLE_MANAGER}


def test_nav2_starts_with_its_parameter_file_which_is_removed(tmp_path: Path, start: Start, stubs: Stubs) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**stubs({**NAV2, "static_transform_publisher": "tf2_ros"}), "TMPDIR": str(temporary)}
    given = {name: REPLAYED[name] for name in ("source", "model", "rviz")}
    command = start("nav2_demo.launch.py", environment, **given)
    wait(command, "active: subscribed to")
    arguments = Path(environment["STUB_ARGUMENTS"]).read_text()
    for executable, package in NAV2.items():
        assert f"/{package}/{executable}" in arguments
    (file,) = temporary.glob("nav2_params_*")
    assert arguments.count(str(file)) == len(NAV2_NODES) and "base_link" in arguments
    command.end()
    assert "process has died" not in ended(command)
    assert not list(temporary.glob("nav2_params_*"))


def test_nav2_is_refused_in_a_namespace_and_leaves_no_file(tmp_path: Path, start: Start, stubs: Stubs) -> None:
    including = tmp_path / "including.launch.py"
    including.write_text(INCLUDING.format(file=str(LAUNCH / "nav2.launch.py")))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**stubs(NAV2), "TMPDIR": str(temporary)}
    for file, given, word in (
        (including, {}, "PushRosNamespace /fleet"),
        (LAUNCH / "nav2_demo.launch.py", {"namespace": "robot1", "rviz": "false"}, "namespace /robot1: "),
    ):
        text = ended(start(file, environment, **given), 1)
        assert word in text and "without a namespace" in text
    assert not list(temporary.glob("nav2_params_*"))


def test_a_missing_nav2_leaves_no_parameter_file(tmp_path: Path, start: Start) -> None:
    if "nav2_planner" in get_packages_with_prefixes():
        pytest.skip("nav2 is installed")
    text = ended(start("nav2.launch.py", {"TMPDIR": str(tmp_path)}), 1)
    assert "nav2_planner" in text
    assert not list(tmp_path.glob("nav2_params_*"))
