#!/usr/bin/env python3
"""Write or print the manifest of the public interface, public_api.yaml, from the declarations in the code.

tools/public_api.py             print the manifest
tools/public_api.py --write     write public_api.yaml; a changed line is a change of the public interface
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MANIFEST = ROOT / "public_api.yaml"
HEAD = """# The public interface of this package: what semantic versioning applies to (QUALITY_DECLARATION.md).
# Written by tools/public_api.py --write; a test compares it with the code and with a running node.
"""


def manifest() -> dict[str, Any]:
    """Return the manifest; the environment must contain ROS and this package."""
    return {
        "interfaces": interfaces(),
        "nodes": {"stereo_occ": stereo_occ(), "replay": replay(), "planner": planner(), "viewer": viewer()},
        "command_line": command_line(),
        "python": python(),
    }


def interfaces() -> dict[str, str]:
    """Return the type hash (REP-2011) of every message and service of this package."""
    from ament_index_python.packages import get_package_share_directory

    share = Path(get_package_share_directory("occdepth_ros"))
    found = {}
    for kind in ("msg", "srv"):
        for file in sorted((ROOT / kind).glob(f"*.{kind}")):
            name = f"occdepth_ros/{kind}/{file.stem}"
            hashes = json.loads((share / kind / f"{file.stem}.json").read_text(encoding="utf-8"))["type_hashes"]
            found[name] = next(entry["hash_string"] for entry in hashes if entry["type_name"] == name)
    return found


def stereo_occ() -> dict[str, Any]:
    """Return subscriptions, publications, services and parameters of the node stereo_occ."""
    from std_msgs.msg import Float64, Header

    from occdepth_ros.nodes.qos import LATCHED, REPLAY_ENDED, SENSOR_DATA
    from occdepth_ros.nodes.stereo_occ.map.grid import MapGrid
    from occdepth_ros.nodes.stereo_occ.map.server import map_outputs
    from occdepth_ros.nodes.stereo_occ.monitoring.timing import STAGES
    from occdepth_ros.nodes.stereo_occ.output_specs import OUTPUTS
    from occdepth_ros.nodes.stereo_occ.parameters import Settings

    inputs = {
        f"{side}/{name}": f"sensor_msgs/msg/{kind}, {quality(SENSOR_DATA)}"
        for side in ("left", "right")
        for name, kind in (("image_rect", "Image"), ("camera_info", "CameraInfo"))
    }
    inputs[REPLAY_ENDED] = f"{type_name(Header)}, {quality(LATCHED)}"
    outputs = {f"~/{s.name}": f"{type_name(s.message)}, {quality(s.qos)}" for s in (*OUTPUTS, *map_outputs(MapGrid()))}
    outputs |= {f"~/debug/processing_time/{stage}_ms": type_name(Float64) for stage in STAGES}
    outputs["/diagnostics"] = "diagnostic_msgs/msg/DiagnosticArray"
    services = {
        "~/map/octomap_binary": "octomap_msgs/srv/GetOctomap",
        "~/map/octomap_full": "octomap_msgs/srv/GetOctomap",
        "~/map/clear_bbox": "octomap_msgs/srv/BoundingBoxQuery",
        "~/map/reset": "std_srvs/srv/Empty",
        "~/map/save_map": "occdepth_ros/srv/MapFile",
        "~/map/load_map": "occdepth_ros/srv/MapFile",
        "~/map/distance_field": "occdepth_ros/srv/DistanceField",
    }
    return {"subscribes": inputs, "publishes": outputs, "services": services, "parameters": parameters(Settings)}


def replay() -> dict[str, Any]:
    """Return the parameters of the node replay; its topics are the inputs of stereo_occ."""
    from occdepth_ros.nodes.replay.parameters import ReplaySettings

    return {"parameters": parameters(ReplaySettings)}


def planner() -> dict[str, Any]:
    """Return topics and parameters of the example planner."""
    from occdepth_ros.nodes.planner.parameters import PlannerSettings

    return {
        "subscribes": {"occupancy_grid": "nav_msgs/msg/OccupancyGrid", "goal_pose": "geometry_msgs/msg/PoseStamped"},
        "publishes": {"path": "nav_msgs/msg/Path"},
        "parameters": parameters(PlannerSettings),
    }


def viewer() -> dict[str, Any]:
    """Return the parameters of the node viewer; its topics are inputs and outputs of stereo_occ."""
    from occdepth_ros.nodes.viewer.parameters import ViewerSettings

    return {"parameters": parameters(ViewerSettings)}


def parameters(settings: Any) -> dict[str, str]:
    """Return the type of every parameter."""
    kinds = {bool: "bool", int: "int", float: "float", str: "string"}

    def kind(value: Any) -> str:
        return f"{kinds[type(value[0])]}[{len(value)}]" if isinstance(value, tuple) else kinds[type(value)]

    return {name: kind(entry.default) for name, entry in settings.declared().items()}


def command_line() -> dict[str, list[str]]:
    """Return options and positional arguments of every verb."""
    from occdepth_ros.cli import VERBS, build_parser

    found = {}
    for verb in VERBS:
        parser = build_parser(verb)
        verbs = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        found[verb] = options(verbs.choices[verb])
    return found


def options(parser: argparse.ArgumentParser) -> list[str]:
    """Return the arguments of a parser and of the parsers below it."""
    found: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                found += [f"{name} {option}" for option in options(sub)]
        elif not isinstance(action, argparse._HelpAction):
            found.append(action.option_strings[-1] if action.option_strings else action.dest)
    return sorted(found)


def python() -> dict[str, str]:
    """Return the signatures of the public Python interface."""
    from occdepth_ros.engine import Engine
    from occdepth_ros.prediction import OccupancyPrediction
    from occdepth_ros.sources import open_source

    found = {f"engine.Engine.{name}": member for name, member in vars(Engine).items() if not name.startswith("_")}
    found |= {
        "engine.Engine": Engine,
        "sources.open_source": open_source,
        "prediction.OccupancyPrediction": OccupancyPrediction,
    }
    return {name: signature(member) for name, member in sorted(found.items())}


def signature(member: Any) -> str:
    """Return the parameters and their defaults; annotations differ between versions of Python."""
    if isinstance(member, property):
        return "property"
    if not callable(member):
        return "attribute"
    parts: list[str] = []
    for parameter in inspect.signature(member).parameters.values():
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        star = "*, " if parameter.kind is parameter.KEYWORD_ONLY and "*" not in "".join(parts) else ""
        parts.append(f"{star}{parameter.name}{default}")
    return f"({', '.join(parts)})"


def type_name(message: Any) -> str:
    """Return the name of a message type, such as "std_msgs/msg/Header"."""
    return f"{message.__module__.split('.')[0]}/msg/{message.__name__}"


def quality(profile: Any) -> str:
    """Return a quality of service in words."""
    reliability, durability = profile.reliability.name.lower(), profile.durability.name.lower()
    return f"{reliability}, {durability}, depth {profile.depth}"


def text() -> str:
    """Return the content of the file."""
    return HEAD + yaml.safe_dump(manifest(), sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    """Print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write public_api.yaml")
    if parser.parse_args().write:
        MANIFEST.write_text(text(), encoding="utf-8")
    else:
        print(text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
