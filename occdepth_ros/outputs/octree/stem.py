"""The topmost levels of an octree, above the grid, built node by node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from occdepth_ros.outputs.octree.lattice import DEPTH, Shape

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Subtree:
    """A node and all its descendants.

    Args:
        stream: consecutive parts of its stream.
        leaf: cell value of a leaf, 0 for an inner node.
        log_odds, rgb: values of the node in a ColorOcTree.
    """

    stream: list[bytes | memoryview] = field(default_factory=list)
    leaf: int = 0
    log_odds: float = 0.0
    rgb: RGB = (255, 255, 255)


Children = list[Subtree | None]


def join(subtrees: dict[Shape, Subtree], height: int, inner_node: Callable[[Children], Subtree]) -> Subtree:
    """Join subtrees of one level up to the root. Eight equal leaves are merged into one.

    Args:
        subtrees: at least one subtree, by key at their level.
        height: level of the subtrees; the root is at level 16.
        inner_node: function that makes a node from eight children, None for a missing child.
    """
    for _ in range(height, DEPTH):
        parents: dict[Shape, Children] = {}
        for (x, y, z), subtree in subtrees.items():
            children = parents.setdefault((x >> 1, y >> 1, z >> 1), [None] * 8)
            children[(x & 1) | (y & 1) << 1 | (z & 1) << 2] = subtree
        subtrees = {key: _pruned(children) or inner_node(children) for key, children in parents.items()}
    (root,) = subtrees.values()
    return root


def _pruned(children: Children) -> Subtree | None:
    first = children[0]
    if first and first.leaf and all(child and child.leaf == first.leaf for child in children):
        return first
    return None
