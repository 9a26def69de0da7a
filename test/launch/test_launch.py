"""The launch files and the view of RViz: static checks, and execution where launch is installed."""

from __future__ import annotations

import ast
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from occdepth_ros.nodes.replay.parameters import ReplaySettings
from occdepth_ros.nodes.stereo_occ.parameters import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"
OUTPUTS = {name.removeprefix("publish_") for name in PARAMETERS if name.startswith("publish_")} - {
    "processing_time",
    "map",
    "planners",
}

MAP_SERVER = ROOT / "occdepth_ros" / "nodes" / "stereo_occ" / "map" / "server.py"


def _constant(file: str, name: str) -> ast.expr:
    """The expression that a module assigns to `name`, without running the module."""
    for statement in ast.parse((LAUNCH / file).read_text(encoding="utf-8")).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            value = getattr(statement, "value", None)
            assert isinstance(value, ast.expr)
            return value
    raise AssertionError(f"{file} does not assign {name}")


def test_overrides_are_parameters_of_the_node_in_their_types() -> None:
    overrides = _constant("stereo_occ.launch.py", "OVERRIDES")
    assert isinstance(overrides, ast.Dict)
    found = {ast.literal_eval(k): v.id for k, v in zip(overrides.keys, overrides.values, strict=True)}  # type: ignore
    assert found == {name: type(PARAMETERS[name].default).__name__ for name in found}
    arguments = ast.literal_eval(_constant("stereo_occ.launch.py", "ARGUMENTS"))
    assert found.keys() <= arguments.keys()


def _view() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config" / "occdepth.rviz").read_text(encoding="utf-8"))["Visualization Manager"]


def _displays(view: dict[str, Any]) -> list[dict[str, Any]]:
    nested = [inner for display in view["Displays"] for inner in display.get("Displays", [])]
    return [*view["Displays"], *nested]


def _remapped_outputs() -> set[str]:
    value = _constant("stereo_occ.launch.py", "OUTPUTS")
    assert isinstance(value, ast.Tuple)
    return {name for part in value.elts if isinstance(part, ast.Starred) for name in ast.literal_eval(part.value)}


def test_every_output_follows_a_namespace_in_rviz() -> None:
    remapped = _remapped_outputs()
    assert {name for name in remapped if not name.startswith("map/")} == OUTPUTS
    shown = {d["Topic"]["Value"].removeprefix("/stereo_occ/") for d in _displays(_view()) if "Topic" in d}
    assert shown - {"/left/image_rect"} <= remapped


def test_every_topic_of_the_view_has_a_publisher() -> None:
    map_names = {"occupancy_grid", *ast.literal_eval(_constant(str(MAP_SERVER), "NAMES"))}
    published = {f"/stereo_occ/{name}" for name in OUTPUTS} | {f"/stereo_occ/map/{name}" for name in map_names}
    # the camera, and the example planner
    published |= {"/left/image_rect", "/stereo_occ/map/path"}
    for display in _displays(_view()):
        topics = {display["Topic"]["Value"]} if "Topic" in display else set()
        topics |= {display[key] for key in ("Depth Map Topic", "Color Image Topic") if display.get(key)}
        assert topics <= published, display["Name"]


def test_the_dock_state_of_the_view_names_its_panels() -> None:
    text = (ROOT / "config" / "occdepth.rviz").read_text(encoding="utf-8")
    state = bytes.fromhex(yaml.safe_load(text)["Window Geometry"]["QMainWindow State"])
    for name in ("Displays", "Left camera", "Voxels in the image", "Legend", "Depth"):
        encoded = name.encode("utf-16-be")
        assert len(encoded).to_bytes(4, "big") + encoded in state, name


def test_the_first_view_shows_one_voxel_display_and_the_legend() -> None:
    enabled = {d["Name"] for d in _view()["Displays"] if d["Enabled"]}
    assert {name for name in enabled if name.startswith("Voxels: ")} == {"Voxels: markers"}
    assert {"Legend", "Left camera", "Voxels in the image", "Frames"} <= enabled


def test_the_view_shows_our_topics_with_their_durability() -> None:
    view = _view()
    shown = {d["Topic"]["Value"]: d for d in view["Displays"] if "Topic" in d}
    latched = {"octomap_binary", "octomap_full", "occupancy_grid", "markers", "legend"}
    for topic, display in shown.items():
        if topic.startswith("/stereo_occ/"):
            name = topic.removeprefix("/stereo_occ/")
            assert name in OUTPUTS
            durability = "Transient Local" if name in latched else "Volatile"
            assert display["Topic"]["Durability Policy"] == durability, topic
            assert display["Topic"]["Reliability Policy"] == "Reliable", topic
    assert shown["/left/image_rect"]["Topic"]["Reliability Policy"] == "Best Effort"
    shown_outputs = {t.removeprefix("/stereo_occ/") for t in shown if t.startswith("/stereo_occ/")}
    clouds = {d["Depth Map Topic"].removeprefix("/stereo_occ/") for d in view["Displays"] if "Depth Map Topic" in d}
    assert shown_outputs | clouds == OUTPUTS - {"grid", "camera_info", "voxel_grid", "foxglove_voxels"}, (
        "every output that stock displays can show"
    )
    classes = {d["Class"].split("/")[0] for d in _displays(view)}
    assert classes == {"rviz_default_plugins", "octomap_rviz_plugins", "rviz_common"}
    assert "TF" in {d["Class"].split("/")[1] for d in view["Displays"]}
    assert view["Global Options"]["Fixed Frame"] == PARAMETERS["grid_frame"].default


def _description(file: str) -> Any:
    pytest.importorskip("launch_ros.actions", reason="launch and launch_ros are not installed (PyPI has none)")
    spec = importlib.util.spec_from_file_location(file.split(".")[0], LAUNCH / file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", ["stereo_occ.launch.py", "kitti_replay.launch.py", "nav2_demo.launch.py"])
def test_every_argument_is_described(file: str) -> None:
    description = _description(file).generate_launch_description()
    arguments = description.get_launch_arguments()
    assert {"model", "weights", "device", "params_file", "rviz", "log_level"} <= {a.name for a in arguments}
    for argument in arguments:
        assert len(argument.description) > 10, argument.name


def test_the_replay_arguments_are_parameters_of_the_replay_in_their_types_and_defaults() -> None:
    declared = _constant("kitti_replay.launch.py", "REPLAY")
    assert isinstance(declared, ast.Dict)
    for key, value in zip(declared.keys, declared.values, strict=True):
        assert isinstance(key, ast.Constant) and isinstance(key.value, str) and isinstance(value, ast.Tuple)
        kind, default = value.elts[0], value.elts[1]
        assert isinstance(kind, ast.Name) and isinstance(default, ast.Constant)
        assert isinstance(default.value, str)
        expected = ReplaySettings.declared()[key.value].default
        assert kind.id == type(expected).__name__, key.value
        assert yaml.safe_load(default.value) == expected, key.value


@pytest.mark.parametrize(
    ("given", "remapped", "parameters"),
    [
        ({}, {("left/image_rect", "left/image_rect")}, {}),
        (
            {"left_namespace": "/cam/l/", "image": "image_raw", "rectify": "true", "model": "occdepth-b3"},
            {("left/image_rect", "/cam/l/image_raw"), ("left/camera_info", "/cam/l/camera_info")},
            {"rectify": True, "model": "occdepth-b3"},
        ),
    ],
)
def test_arguments_become_remappings_and_parameters(
    given: dict[str, str], remapped: set[tuple[str, str]], parameters: dict[str, Any]
) -> None:
    module = _description("stereo_occ.launch.py")
    from launch import LaunchContext
    from launch.utilities import perform_substitutions

    context = LaunchContext()
    defaults = {name: default for name, (default, _) in module.ARGUMENTS.items()}
    files = {"params_file": str(ROOT / "config" / "stereo_occ.yaml"), "rviz_config": "view.rviz"}
    context.launch_configurations.update({**defaults, **files, **given})
    (node,) = module.make_nodes(context)
    assert (node.node_package, node.node_executable) == ("occdepth_ros", "stereo_occ")
    pairs = {
        (perform_substitutions(context, list(a)), perform_substitutions(context, list(b)))
        for a, b in node._Node__remappings
    }
    assert remapped <= pairs and len(pairs) == 4
    overrides = {
        perform_substitutions(context, list(key)): value.evaluate(context)
        for entry in node._Node__parameters[1:]
        for key, value in entry.items()
    }
    assert overrides == {**parameters, "use_sim_time": False}


def _text(context: Any, value: Any) -> str:
    from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

    return str(perform_substitutions(context, normalize_to_list_of_substitutions(value)))


def _substituted(context: Any, pairs: Any) -> dict[str, str]:
    return {_text(context, a): _text(context, b) for a, b in pairs}


def test_the_replay_publishes_where_the_node_listens() -> None:
    node_file, replay_file = _description("stereo_occ.launch.py"), _description("kitti_replay.launch.py")
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update({name: value for name, (value, _) in node_file.ARGUMENTS.items()})
    context.launch_configurations.update({name: value for name, (_, value, _) in replay_file.REPLAY.items()})
    given = {"namespace": "robot1", "left_namespace": "cam/l/", "right_namespace": "/cam/r"}
    context.launch_configurations.update({**given, "params_file": "p.yaml", "rviz_config": "view.rviz"})
    (node,), (replay,) = node_file.make_nodes(context), replay_file.make_replay(context)
    assert _substituted(context, replay._Node__remappings) == _substituted(context, node._Node__remappings)
    for made in (node, replay):
        assert _text(context, made._Node__node_namespace) == "robot1"
    description = replay_file.generate_launch_description()
    assert given.keys() <= {argument.name for argument in description.get_launch_arguments()}


def test_log_level_and_view_follow_a_pushed_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    module = _description("stereo_occ.launch.py")
    from launch import LaunchContext

    monkeypatch.setattr(module, "get_package_prefix", lambda package: "/opt/ros")
    context = LaunchContext()
    context.launch_configurations.update({name: default for name, (default, _) in module.ARGUMENTS.items()})
    context.launch_configurations.update({"params_file": "p.yaml", "rviz_config": "view.rviz", "rviz": "true"})
    context.launch_configurations.update({"ros_namespace": "/fleet/robot1", "namespace": "front", "log_level": "debug"})
    node, viewer = module.make_nodes(context)
    arguments = [_text(context, part) for part in node._Node__arguments]
    assert "fleet.robot1.front.stereo_occ:=debug" in arguments
    remapped = _substituted(context, viewer._Node__remappings)
    assert remapped["/stereo_occ/markers"] == "/fleet/robot1/front/stereo_occ/markers"
    assert remapped["/left/image_rect"] == "/fleet/robot1/front/left/image_rect"
    assert remapped["/left/camera_info"] == "/fleet/robot1/front/left/camera_info"


@pytest.mark.parametrize(
    ("given", "style"),
    [({"rviz": "true"}, "triangles"), ({}, None), ({"rviz": "true", "markers_style": "boxes"}, "boxes")],
)
def test_rviz_gets_triangles_unless_another_style_is_given(
    given: dict[str, str], style: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _description("stereo_occ.launch.py")
    from launch import LaunchContext

    monkeypatch.setattr(module, "get_package_prefix", lambda package: "/opt/ros")
    context = LaunchContext()
    context.launch_configurations.update({name: default for name, (default, _) in module.ARGUMENTS.items()})
    context.launch_configurations.update({"params_file": "p.yaml", "rviz_config": "view.rviz", **given})
    node = module.make_nodes(context)[0]
    overrides = {_text(context, name): value.evaluate(context) for name, value in node._Node__parameters[1].items()}
    assert overrides.get("markers_style") == style


@pytest.mark.parametrize("installed", [True, False])
def test_without_rviz_the_node_starts_all_the_same(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _description("stereo_occ.launch.py")
    from launch import LaunchContext
    from launch.actions import LogInfo

    def prefix(package: str) -> str:
        if installed:
            return "/opt/ros"
        raise module.PackageNotFoundError(package)

    monkeypatch.setattr(module, "get_package_prefix", prefix)
    context = LaunchContext()
    context.launch_configurations.update({name: default for name, (default, _) in module.ARGUMENTS.items()})
    context.launch_configurations.update({"params_file": "p.yaml", "rviz_config": "view.rviz", "rviz": "true"})
    node, other = module.make_nodes(context)
    assert node.node_executable == "stereo_occ"
    if installed:
        assert other.node_package == "rviz2"
    else:
        assert isinstance(other, LogInfo)


def test_the_parameter_file_of_nav2_is_removed_at_shutdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _description("nav2.launch.py")
    from launch import LaunchContext
    from launch.events import Shutdown

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    context = LaunchContext()
    given = {"nav2_params_file": str(ROOT / "config" / "nav2_params.yaml"), "use_sim_time": "true", "ground_z": "-1.73"}
    context.launch_configurations.update(given)
    removal, *_ = module.make_nodes(context)
    (file,) = tmp_path.iterdir()
    assert yaml.safe_load(file.read_text())["local_costmap"]
    removal.event_handler.handle(Shutdown(reason="test"), context)
    assert not file.exists()
