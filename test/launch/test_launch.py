"""The launch files and the view of RViz: what can be known without launch, and the rest where it is installed."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from occdepth_ros.nodes.replay.parameters import ReplaySettings
from occdepth_ros.nodes.stereo_occ.parameters import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"
OUTPUTS = {name.removeprefix("publish_") for name in PARAMETERS if name.startswith("publish_")} - {"processing_time"}


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


def test_every_output_follows_a_namespace_in_rviz() -> None:
    assert set(ast.literal_eval(_constant("stereo_occ.launch.py", "OUTPUTS"))) == OUTPUTS


def test_the_view_shows_our_topics_with_their_durability() -> None:
    view = yaml.safe_load((ROOT / "config" / "occdepth.rviz").read_text(encoding="utf-8"))["Visualization Manager"]
    shown = {d["Topic"]["Value"]: d for d in view["Displays"] if "Topic" in d}
    latched = {"octomap_binary", "octomap_full", "occupancy_grid"}
    for topic, display in shown.items():
        if topic.startswith("/stereo_occ/"):
            name = topic.removeprefix("/stereo_occ/")
            assert name in OUTPUTS
            durability = "Transient Local" if name in latched else "Volatile"
            assert display["Topic"]["Durability Policy"] == durability, topic
            assert display["Topic"]["Reliability Policy"] == "Reliable", topic
    assert shown["/left/image_rect"]["Topic"]["Reliability Policy"] == "Best Effort"
    shown_outputs = {t.removeprefix("/stereo_occ/") for t in shown if t.startswith("/stereo_occ/")}
    assert shown_outputs == OUTPUTS - {"grid"}, "every output that stock displays can show"
    classes = {d["Class"].split("/")[0] for d in view["Displays"]}
    assert classes == {"rviz_default_plugins", "octomap_rviz_plugins"}
    assert "TF" in {d["Class"].split("/")[1] for d in view["Displays"]}
    assert view["Global Options"]["Fixed Frame"] == PARAMETERS["grid_frame"].default


def _description(file: str) -> Any:
    pytest.importorskip("launch_ros.actions", reason="launch and launch_ros are not installed (PyPI has none)")
    spec = importlib.util.spec_from_file_location(file.split(".")[0], LAUNCH / file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", ["stereo_occ.launch.py", "kitti_replay.launch.py"])
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
        assert isinstance(key, ast.Constant) and isinstance(value, ast.Tuple)
        kind, default = value.elts[0], value.elts[1]
        assert isinstance(kind, ast.Name) and isinstance(default, ast.Constant)
        wanted = ReplaySettings.declared()[key.value].default
        assert kind.id == type(wanted).__name__, key.value
        assert yaml.safe_load(default.value) == wanted, key.value


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
