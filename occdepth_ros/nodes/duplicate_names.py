"""Other nodes with the name of this one."""

from __future__ import annotations

from rclpy.node import Node

from occdepth_ros.nodes.faults import Component, FaultBoard


def report_duplicate_names(node: Node, faults: FaultBoard) -> None:
    """Set the fault "duplicate_node" if another node has the full name of this one, or clear it.

    Both publish on the same topics and under the same names on `/diagnostics`: grids of two cameras alternate there.
    """
    own = (node.get_name(), node.get_namespace())
    if node.get_node_names_and_namespaces().count(own) <= 1:
        faults.clear("duplicate_node")
        return
    text = (
        f"another node is named {node.get_fully_qualified_name()}: the topics and diagnostics of both are mixed. End "
        "one of them, or start this one with another name or namespace (`--ros-args -r __ns:=/robot1`)."
    )
    faults.put("duplicate_node", Component.OUTPUT, text, is_error=False)
