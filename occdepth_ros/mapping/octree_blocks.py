"""Conversion of octree files (OctoMap's `.bt` and `.ot`) to blocks of the map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, ClassTable
from occdepth_ros.compiled import compiled
from occdepth_ros.mapping.codes import UNIT
from occdepth_ros.mapping.config import BLOCK, MapConfig
from occdepth_ros.mapping.state import Bytes, Steps, Voxels
from occdepth_ros.mapping.store import FREE_BYTES, Key, pack
from occdepth_ros.outputs.octree.files import OctreeFile
from occdepth_ros.outputs.octree.lattice import KEY_ORIGIN
from occdepth_ros.outputs.octree.reader import COLOR_NODE, OCCUPIED, PLAIN_NODE, Leaves, binary_leaves, full_leaves

BLOCK_LEVEL = BLOCK.bit_length() - 1
"""Level of the octree whose nodes are blocks."""
MIN_OCCUPANCY, MAX_OCCUPANCY = 0.625, 0.875
"""Bounds of the probability of occupied voxels. In trees without probabilities, it is the upper bound."""
NAMED_MARGIN = 5
"""Votes for the class of a voxel, as many as from one sure observation."""


def blocks_of(file: OctreeFile, config: MapConfig, classes: ClassTable, tick: int) -> dict[Key, bytes]:
    """Return the packed blocks of an octree; all of its cells count as seen.

    An occupied cell has the class whose colour it has. Without one, it has the first class that is neither ground nor
    dynamic, and the first observation names it.

    Args:
        file: the octree.
        config: limit of the memory.
        classes: classes of the map.
        tick: time of the observation, see `tick_of`.

    Raises:
        ValueError: the tree is neither an OcTree nor a ColorOcTree, or covers more blocks than `max_bytes` holds.
        OccDepthError: the stream is damaged.
    """
    leaves, odds, labels = _cells(file, classes)
    count = _covered(leaves)
    limit = config.max_bytes // (2 * FREE_BYTES)
    if count > limit:
        raise ValueError(f"it covers {count} blocks of {BLOCK} x {BLOCK} x {BLOCK} voxels; at most {limit} fit")
    unnamed = _standing(config, classes)
    margins = np.where(labels > 0, NAMED_MARGIN, 0).astype(np.uint8)
    labels = np.where((odds > 0) & (labels == 0), unnamed, labels).astype(np.uint8)
    positions = leaves.keys.astype(np.int64) - KEY_ORIGIN
    keys = positions >> BLOCK_LEVEL
    # the leaves of a block follow each other in the stream
    starts = np.flatnonzero(np.diff(keys, axis=0, prepend=keys[:1] - 1).any(axis=1)).tolist()
    blocks: dict[Key, bytes] = {}
    fields = Voxels.empty((BLOCK, BLOCK, BLOCK))
    for index, first in enumerate(starts):
        part = slice(first, starts[index + 1] if index + 1 < len(starts) else len(keys))
        edges = np.int64(1) << leaves.levels[part].clip(max=BLOCK_LEVEL).astype(np.int64)
        _fill(positions[part] & (BLOCK - 1), edges, odds[part], labels[part], margins[part], tick, fields)
        payload = pack(fields, clear=True)
        x, y, z = keys[first].tolist()
        several = 1 << max(0, int(leaves.levels[first]) - BLOCK_LEVEL)
        for i, j, k in np.ndindex(several, several, several):
            blocks[x + i, y + j, z + k] = payload
    return blocks


def _cells(file: OctreeFile, classes: ClassTable) -> tuple[Leaves, Steps, Bytes]:
    """Return the leaves, their log-odds in steps of `codes.UNIT`, and their classes (0: no class has the colour)."""
    if file.is_binary and file.kind == "OcTree":
        leaves = binary_leaves(file.stream)
        odds = np.where(leaves.nodes == OCCUPIED, _steps(np.array(MAX_OCCUPANCY)), -1).astype(np.int8)
        return leaves, odds, np.zeros(len(odds), np.uint8)
    if file.is_binary or file.kind not in ("OcTree", "ColorOcTree"):
        raise ValueError(f"a tree of the kind {file.kind!r}")
    leaves, nodes = full_leaves(file.stream, COLOR_NODE if file.kind == "ColorOcTree" else PLAIN_NODE)
    found = nodes[leaves.nodes]
    occupancy = 1 / (1 + np.exp(-found["log_odds"].astype(np.float64)))
    # the log-odds of the outputs are those of (1 + p) / 2, see `outputs.octomap.leaf_table`
    is_occupied = found["log_odds"] >= 0
    odds = np.where(is_occupied, _steps((2 * occupancy - 1).clip(MIN_OCCUPANCY, MAX_OCCUPANCY)), -1).astype(np.int8)
    labels = np.zeros(len(odds), np.uint8)
    if file.kind == "ColorOcTree":
        for index, color in enumerate(classes.rgb):
            if index != EMPTY:
                labels[is_occupied & (found["rgb"] == color).all(axis=1)] = index
    return leaves, odds, labels


def _steps(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.rint(np.log(probability / (1 - probability)) / UNIT)


def _covered(leaves: Leaves) -> int:
    """Return the number of blocks that hold leaves."""
    is_large = leaves.levels > BLOCK_LEVEL
    large = 8.0 ** (leaves.levels[is_large].astype(np.float64) - BLOCK_LEVEL)
    keys = leaves.keys[~is_large] >> BLOCK_LEVEL
    small = np.diff(keys, axis=0, prepend=keys[:1] - 1).any(axis=1).sum()
    return int(large.sum() + small)


def _standing(config: MapConfig, classes: ClassTable) -> int:
    """Return the first class that is neither ground nor dynamic; the last class if there is none."""
    moving = config.dynamic_ids(classes)
    found = (i for i in range(EMPTY + 1, len(classes)) if i not in moving and not classes.is_ground[i])
    return next(found, len(classes) - 1)


@compiled
def _fill(
    corners: npt.NDArray[np.int64],
    edges: npt.NDArray[np.int64],
    odds: Steps,
    labels: Bytes,
    margins: Bytes,
    tick: int,
    voxels: Voxels,
) -> None:
    """Write leaves, whose corners are in voxels of the block, into an empty block."""
    for i in range(edges.size):
        for x in range(corners[i, 0], corners[i, 0] + edges[i]):
            for y in range(corners[i, 1], corners[i, 1] + edges[i]):
                for z in range(corners[i, 2], corners[i, 2] + edges[i]):
                    voxels.seen[x, y, z] = odds[i]
                    if odds[i] > 0:
                        voxels.label[x, y, z], voxels.margin[x, y, z] = labels[i], margins[i]
                        voxels.tick[x, y, z] = tick
