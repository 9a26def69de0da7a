"""The declarations of the node's parameters, and everything that is generated from them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from occdepth_ros.nodes.parameters import ParameterError
from occdepth_ros.nodes.stereo_occ.parameters import PARAMETERS, Settings, rule_of

ROOT = Path(__file__).resolve().parents[3]


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("parameters_table", ROOT / "tools" / "parameters_table.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_defaults_obey_their_own_rules() -> None:
    defaults = {name: entry.default for name, entry in PARAMETERS.items()}
    assert Settings.from_values(defaults) == Settings()


def test_every_output_has_a_switch_and_a_rate() -> None:
    switches = {n.removeprefix("publish_") for n in PARAMETERS if n.startswith("publish_")} - {"processing_time"}
    # the topics of the map share one switch
    rates = {
        n.removesuffix("_rate")
        for n in PARAMETERS
        if (n.endswith("_rate") and not n.startswith("map_")) or n == "map_rate"
    }
    assert switches == rates
    assert {
        *("octomap_binary", "octomap_full", "markers", "points", "grid", "occupancy_grid", "depth", "map"),
        *("depth_color", "camera_info", "legend", "planners", "voxel_grid", "foxglove_voxels"),
    } == switches
    assert all(rule_of(f"publish_{n}").live and rule_of(f"{n}_rate").live for n in switches)


@pytest.mark.parametrize(
    ("name", "value", "expected_text"),
    [
        ("model", "no-such", "not one of occdepth-edge, occdepth-edge-kitti, occdepth-edge-sfa"),
        ("model", 3, "not text"),
        ("grid_resolution", -0.2, "not within"),
        ("grid_resolution", float("nan"), "not within"),
        ("grid_resolution", True, "not a number"),
        ("grid_size", [256, 256], "array of 3 numbers"),
        ("grid_size", [256, 256, 0], "not within"),
        ("grid_size", [256, 256, 1.5], "not a whole number"),
        ("grid_origin", "0 0 0", "array of 3 numbers"),
        ("camera_from_grid_rotation", [0.0, 0.0], "array of 3 or 4 numbers"),
        ("fallback", 1, "not true or false"),
        ("queue_size", 2.0, "not a whole number"),
        ("points_rate", float("inf"), "not within"),
        ("occupancy_min_height", float("nan"), "not within"),
    ],
)
def test_invalid_values_are_rejected_with_the_reason(name: str, value: object, expected_text: str) -> None:
    with pytest.raises(ParameterError, match=name) as refusal:
        Settings.checked(name, value)
    assert expected_text in str(refusal.value)
    assert rule_of(name).text.rstrip(".") in str(refusal.value), "the remedy contains the description of the parameter"


def test_integers_are_accepted_for_float_parameters() -> None:
    value = Settings.checked("grid_resolution", 1)
    assert value == 1.0 and isinstance(value, float)
    assert Settings.checked("grid_origin", [0, -25, -2]) == (0.0, -25.0, -2.0)


def test_contradictory_values_are_rejected() -> None:
    with pytest.raises(ParameterError, match="height range"):
        Settings.from_values({"occupancy_min_height": 2.0})
    with pytest.raises(ParameterError, match="quaternion is zero"):
        Settings.from_values({"camera_from_grid_rotation": [0.0, 0.0, 0.0, 0.0]})


def test_the_parameter_file_is_the_declarations() -> None:
    text = (ROOT / "config" / "stereo_occ.yaml").read_text(encoding="utf-8")
    assert text == _tool().yaml(), "run tools/parameters_table.py --write"
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert Settings.from_values(values) == Settings()


def test_the_parameters_page_contains_the_generated_table() -> None:
    tool = _tool()
    text = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert tool.BEGIN in text and tool.END in text
    assert tool.with_table(text) == text, "run tools/parameters_table.py --write"


def test_the_table_replaces_the_text_between_the_markers() -> None:
    tool = _tool()
    text = f"before\n{tool.BEGIN}\nold\n{tool.END}\nafter\n"
    assert tool.with_table(text) == f"before\n{tool.BEGIN}\n{tool.table()}{tool.END}\nafter\n"
    assert tool.with_table("no markers") == "no markers"
    rows = tool.table().splitlines()
    assert all(any(row.startswith(f"| `{name}` |") for row in rows) for name in PARAMETERS)
