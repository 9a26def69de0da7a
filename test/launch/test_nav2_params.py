"""config/nav2_params.yaml: its topics exist, with the type and the quality of service that the layers need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("occdepth_ros.srv", reason="the interfaces are not built: run make env")

from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from occdepth_ros.nodes.stereo_occ.map_server import MAP_OUTPUTS
from occdepth_ros.nodes.stereo_occ.publishers import OUTPUTS

ROOT = Path(__file__).resolve().parents[2]
SPECS = {f"/stereo_occ/{spec.name}": spec for spec in (*OUTPUTS, *MAP_OUTPUTS)}


def settings_of(node: Any) -> Iterator[tuple[str, Any]]:
    """All settings of a parameter file, nested ones included."""
    for key, value in node.items():
        yield key, value
        if isinstance(value, dict):
            yield from settings_of(value)


def test_layers_read_topics_that_the_node_publishes() -> None:
    content = yaml.safe_load((ROOT / "config" / "nav2_params.yaml").read_text())
    found = dict.fromkeys(("map_topic", "topic"), "")
    found.update({key: value for key, value in settings_of(content) if key in found})
    static, cloud = SPECS[found["map_topic"]], SPECS[found["topic"]]
    assert static.message.__name__ == "OccupancyGrid" and cloud.message.__name__ == "PointCloud2"
    # nav2's static layer subscribes reliable and transient local: a volatile publisher would never match
    assert static.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert static.qos.reliability == ReliabilityPolicy.RELIABLE
