"""Heights of nav2's costmap layers for a ground that is not at z = 0 of the costmap's frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEIGHTS = ("origin_z", "min_obstacle_height", "max_obstacle_height")
"""Parameters of obstacle and voxel layer and of their sources that are z in the costmap's `global_frame`, metres."""


def with_ground_at(parameters: Mapping[str, Any], z: float) -> dict[str, Any]:
    """Return the content of a parameter file with all heights moved from a ground at z = 0.

    Args:
        parameters: nested parameters, as in the file.
        z: z of the ground in the frame of the costmaps, metres.
    """

    def moved(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return with_ground_at(value, z)
        return float(value) + z if key in HEIGHTS else value

    return {key: moved(key, value) for key, value in parameters.items()}
