"""Classes without learning: rules of thumb that a planner can use and nobody should trust.

Geometry knows no semantics. What it does know is where the ground runs and how far something rises above it.
"""

from __future__ import annotations

from occdepth_ros.classes import SEMANTIC_KITTI

ROAD = SEMANTIC_KITTI.id_of("road")
VEGETATION = SEMANTIC_KITTI.id_of("vegetation")
