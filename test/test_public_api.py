"""The manifest of the public interface equals the code, and a running node has what it lists."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")

from helpers.nodes.domains import next_domain  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[1]
MANIFEST: dict[str, Any] = yaml.safe_load((ROOT / "public_api.yaml").read_text(encoding="utf-8"))
HINT = "a public name changed: keep the old one working, then run tools/public_api.py --write"


def tool() -> Any:
    spec = importlib.util.spec_from_file_location("public_api", ROOT / "tools" / "public_api.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("part", ["interfaces", "nodes", "command_line", "python"])
def test_the_manifest_equals_the_declarations(part: str) -> None:
    assert yaml.safe_load(tool().text())[part] == MANIFEST[part], HINT


def test_a_running_node_has_the_topics_services_and_parameters_of_the_manifest() -> None:
    from occdepth_ros.nodes.stereo_occ.node import StereoOccNode

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())
    values = {"model": "stereo-geometry", "warm_up": False, "map_mode": "always", "autostart": False}
    node = StereoOccNode(context=context, parameter_overrides=[Parameter(k, value=v) for k, v in values.items()])
    try:
        node.trigger_configure()
        node.trigger_activate()
        listed = MANIFEST["nodes"]["stereo_occ"]
        own = (node.get_name(), node.get_namespace())

        def of(entry: str) -> str:
            return entry.split(",")[0]

        def absolute(name: str) -> str:
            return name.replace("~", "/stereo_occ") if name.startswith("~") else f"/{name.lstrip('/')}"

        published = {n: t[0] for n, t in node.get_publisher_names_and_types_by_node(*own)}
        expected = {absolute(name): of(entry) for name, entry in listed["publishes"].items()}
        standard = {"/rosout", "/parameter_events", "/stereo_occ/transition_event"}
        assert {n: t for n, t in published.items() if n not in standard} == expected
        subscribed = {n: t[0] for n, t in node.get_subscriber_names_and_types_by_node(*own)}
        inputs = {absolute(name): of(entry) for name, entry in listed["subscribes"].items()}
        assert inputs.items() <= subscribed.items()
        services = dict(node.get_service_names_and_types_by_node(*own))
        for name, kind in listed["services"].items():
            assert services[absolute(name)] == [kind]
        for name in listed["parameters"]:
            assert node.has_parameter(name)
    finally:
        node.close()
        node.destroy_node()
        rclpy.shutdown(context=context)
