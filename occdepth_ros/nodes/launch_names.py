"""Names that launch files need before the nodes exist. Does not import ROS."""

from __future__ import annotations

NAV2_NODES = {
    "planner_server": "nav2_planner",
    "controller_server": "nav2_controller",
    "behavior_server": "nav2_behaviors",
    "bt_navigator": "nav2_bt_navigator",
}
"""Package of each node of nav2 that plans and follows paths; node and executable have the same name."""
NAV2_LIFECYCLE_MANAGER = "nav2_lifecycle_manager"
"""Package of the node that configures and activates them."""
NAV2_WITHOUT_NAMESPACE = (
    "the sections and the topics of nav2_params_file are absolute, so nav2 would start without parameters. Start it "
    "without a namespace, or with nav2_bringup and a parameter file for the namespace."
)
"""Reason and remedy where nav2 is to start in a namespace."""


def resolved_namespace(*namespaces: str) -> str:
    """Join namespaces from the outermost to the innermost, such as those of PushRosNamespace and of a node.

    An absolute namespace replaces those before it. The result is absolute; "/" is the root.
    """
    joined = ""
    for namespace in namespaces:
        joined = namespace if namespace.startswith("/") else f"{joined}/{namespace}"
    return "/" + "/".join(part for part in joined.split("/") if part)


def logger_name(namespace: str, node: str) -> str:
    """Return the name of a node's logger: its fully qualified name, separated by dots."""
    return ".".join(part for part in (*namespace.split("/"), node) if part)


def camera_topics(left_namespace: str, right_namespace: str, image: str = "image_rect") -> list[tuple[str, str]]:
    """Return the remappings of the four camera topics to the namespaces of the two cameras."""
    remappings = []
    for side, namespace in (("left", left_namespace), ("right", right_namespace)):
        camera = namespace.rstrip("/")
        remappings.append((f"{side}/image_rect", f"{camera}/{image}"))
        remappings.append((f"{side}/camera_info", f"{camera}/camera_info"))
    return remappings
