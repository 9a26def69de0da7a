"""config/foxglove_layout.json: a layout whose panels and topics exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from occdepth_ros.nodes.stereo_occ.parameters import Settings

ROOT = Path(__file__).resolve().parents[2]
LAYOUT: dict[str, Any] = json.loads((ROOT / "config" / "foxglove_layout.json").read_text(encoding="utf-8"))
OUTPUTS = {name.removeprefix("publish_") for name in Settings.declared() if name.startswith("publish_")}


def panels_of(node: Any) -> Iterator[str]:
    """Panels of a part of the layout tree."""
    if isinstance(node, str):
        yield node
    else:
        yield from panels_of(node["first"])
        yield from panels_of(node["second"])


def test_every_panel_of_the_tree_is_configured_once() -> None:
    assert sorted(panels_of(LAYOUT["layout"])) == sorted(LAYOUT["configById"])


def test_the_three_dimensional_panel_shows_the_voxels_alone_and_the_path() -> None:
    topics = LAYOUT["configById"]["3D!voxels"]["topics"]
    assert {name for name, shown in topics.items() if shown["visible"]} == {
        "/stereo_occ/foxglove_voxels",
        "/stereo_occ/map/path",
    }
    own = {name.removeprefix("/stereo_occ/") for name in topics}
    assert {name for name in own if not name.startswith("map/")} <= OUTPUTS
    assert LAYOUT["configById"]["3D!voxels"]["followTf"] == Settings().grid_frame


def test_images_and_plots_are_topics_of_the_camera_and_of_the_node() -> None:
    images = [config["imageMode"]["imageTopic"] for name, config in LAYOUT["configById"].items() if "Image!" in name]
    assert images == ["/left/image_rect", "/stereo_occ/depth_color", "/stereo_occ/legend"]
    stages = [path["value"] for path in LAYOUT["configById"]["Plot!time"]["paths"]]
    assert all(stage.startswith("/stereo_occ/debug/processing_time/") for stage in stages)
