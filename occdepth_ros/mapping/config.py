"""Parameters of the fused map."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.classes import ClassTable
from occdepth_ros.errors import GridError

BYTES_PER_VOXEL = 7
"""Memory of one voxel of the window, bytes; see `occdepth_ros.mapping.state.MapState`."""
ON_JUMP = ("reset", "reanchor")
BLOCK = 16
"""Edge of a stored block, voxels."""

DYNAMIC_CLASSES = frozenset(
    {"car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist"}
)
"""SemanticKITTI's classes whose objects move."""


@dataclass(frozen=True)
class MapConfig:
    """Parameters of `OccupancyMap`.

    Args:
        resolution: edge of a voxel, metres.
        size: voxels of the dense window along x, y, z; multiples of `BLOCK`.
        hit: log-odds that an occupied voxel of confidence 1 adds.
        miss: log-odds that a voxel that was seen free subtracts at confidence 1. The networks miss thin and distant
            surfaces in single frames, so free evidence has less weight than occupied evidence (chosen on KITTI 00, 03,
            04, 09, 10).
        completed_miss: the same for a voxel that was completed as free.
        clamp: lower and upper bound of the log-odds.
        dynamic_clamp: upper bound for voxels of dynamic classes, so that few free observations clear them.
        dynamic_s: seconds after which an unobserved voxel of a dynamic class becomes unknown.
        completed_s: seconds after which a voxel that was only completed becomes unknown.
        static_s: seconds after which a seen static voxel becomes unknown; 0 keeps it until it is seen free.
        dynamic_classes: names of the classes whose objects move.
        completed_weight: weight of a voxel that was completed as occupied relative to a seen one.
        max_bytes: upper bound of the memory of window and store together, bytes.
        max_range: distance from the vehicle at which stored blocks are dropped, metres; 0 keeps them until `max_bytes`.
        max_step: largest motion between predictions, metres; a larger motion is a jump of the odometry.
        on_jump: reaction to a larger motion: "reset", or "reanchor", which moves the window with the vehicle, drops the
            stored blocks, and resets if two windows exceed `max_bytes`.
        max_stamp_step_back: backward step of the stamps above which the map is reset, seconds.

    Raises:
        GridError: a size is not a multiple of the block edge, or the window alone exceeds `max_bytes`.
    """

    resolution: float = 0.2
    size: tuple[int, int, int] = (512, 512, 64)
    hit: float = 0.85
    miss: float = 0.3
    completed_miss: float = 0.075
    clamp: tuple[float, float] = (-2.0, 3.5)
    dynamic_clamp: float = 1.0
    dynamic_s: float = 1.5
    completed_s: float = 20.0
    static_s: float = 0.0
    dynamic_classes: frozenset[str] = DYNAMIC_CLASSES
    completed_weight: float = 0.5
    max_bytes: int = 256 << 20
    max_range: float = 0.0
    max_step: float = 5.0
    on_jump: str = "reset"
    max_stamp_step_back: float = 1.0

    def __post_init__(self) -> None:
        if len(self.size) != 3 or any(n % BLOCK or n <= 0 for n in self.size):
            raise GridError(
                f"the map window {self.size} is not made of whole blocks",
                where="map_size",
                remedy=f"Use multiples of {BLOCK} voxels.",
            )
        if self.on_jump not in ON_JUMP:
            raise GridError(
                f"{self.on_jump!r} is no answer to a jump", where="on_jump", remedy=f"Use one of {', '.join(ON_JUMP)}."
            )
        if self.window_bytes > self.max_bytes:
            raise GridError(
                f"the map window takes {self.window_bytes >> 20} MB, more than max_bytes = {self.max_bytes >> 20} MB",
                where="map_size",
                remedy="Use a smaller window or a higher limit.",
            )

    @property
    def window_bytes(self) -> int:
        """Memory of the dense window, bytes."""
        nx, ny, nz = self.size
        return nx * ny * nz * BYTES_PER_VOXEL

    def dynamic_ids(self, classes: ClassTable) -> list[int]:
        """Return the ids of the dynamic classes that a class table has."""
        return [index for index, name in enumerate(classes.names) if name in self.dynamic_classes]
