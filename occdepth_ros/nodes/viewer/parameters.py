"""Parameters of the node `viewer`. This module does not import ROS."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.nodes.parameters import ParameterSet, parameter


@dataclass(frozen=True)
class ViewerSettings(ParameterSet):
    """Values of all parameters; each field is a parameter."""

    node: str = parameter("/stereo_occ", "Topics", "Name of the node whose topics are shown, with its namespace.")
    fixed_frame: str = parameter("map", "Topics", "Fixed frame of the vehicle's poses and of the map.")
    save: str = parameter("", "Viewer", "File of a recording of rerun (.rrd); if empty, a viewer is opened.")
    native: bool = parameter(False, "Viewer", "Whether rerun's own window is opened instead of a page for browsers.")
    port: int = parameter(9090, "Viewer", "Port of the page for browsers; the next one is used too.", low=1, high=65534)
