"""Slabs of scenes and of their stereo evidence, and ground truth at the scale of the network's image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.evidence import FINE, Measurement, evidence, unfolded
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.images import ImageFit


@dataclass(frozen=True)
class VoxelEvidence:
    """Stereo evidence of the voxels of a scene.

    This wrapper keeps the memory layout of the tensor when scenes are collated to batches.

    Args:
        evidence: see `models.edge.evidence.evidence`, channels innermost.
    """

    evidence: torch.Tensor

    @classmethod
    def of(cls, stereo: Measurement, geometry: EdgeGeometry) -> VoxelEvidence:
        """Compute the evidence of every voxel from a matched pair."""
        return cls(evidence(stereo, geometry).contiguous(memory_format=torch.channels_last_3d))

    def to(self, device: torch.device | str) -> VoxelEvidence:
        """Return a copy on another device."""
        return VoxelEvidence(self.evidence.to(device))


def slab(example: SceneExample, columns: int, rng: np.random.Generator) -> SceneExample:
    """Crop the scene to a random slab of its grid, `columns` voxels wide along y, at most the width of the grid."""
    grid = example.grid
    columns = min(columns, grid.size[1])
    first = int(rng.integers(grid.size[1] - columns + 1))
    x, y, z = grid.origin
    columns_kept = slice(first, first + columns)
    return replace(
        example,
        grid=replace(grid, origin=(x, y + first * grid.resolution, z), size=(grid.size[0], columns, grid.size[2])),
        target=np.ascontiguousarray(example.target[:, columns_kept]),
        seen=None if example.seen is None else np.ascontiguousarray(example.seen[:, columns_kept]),
    )


def crop(stereo: Measurement, whole: VoxelGrid, part: VoxelGrid) -> Measurement:
    """Crop the stereo evidence of a grid to a slab along y."""
    first, columns = part.offset_to(whole)[1], part.size[1]
    layers = whole.size[2]
    x, rest = stereo.hit_voxels // (whole.size[1] * layers), stereo.hit_voxels % (whole.size[1] * layers)
    y, z = rest // layers - first, rest % layers
    inside = (y >= 0) & (y < columns)
    return replace(
        stereo,
        hit_voxels=((x * columns + y) * layers + z)[inside],
        hits=stereo.hits[inside],
        ground=stereo.ground[:, first : first + columns].contiguous(),
        ground_seen=stereo.ground_seen[:, first : first + columns].contiguous(),
    )


def without_hidden_free_space(target: torch.Tensor, seen: torch.Tensor, geometry: EdgeGeometry) -> torch.Tensor:
    """Mark hidden free space outside the left image as unknown; returns `[X, Y, Z]`.

    Labels of hidden surfaces exist only where a scan hit them, labels of hidden free space almost everywhere. Inside
    the view the image shows which one is more likely. Outside the view this imbalance would train a network to predict
    free space.

    Args:
        target: class ids, 255 unknown.
        seen: voxels that are visible from the pose of the frame.
        geometry: tables of the calibration on the same grid.
    """
    in_view = unfolded(geometry.visible[0][None].expand(FINE, -1).contiguous(), geometry.size)
    return torch.where((target == EMPTY) & ~seen & ~in_view, UNKNOWN, target)


def resized_ground_truth(
    example: SceneExample, fit: ImageFit, size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Reduce depth and pixel classes of the left image to the network's scale; the nearest point of a pixel counts.

    LiDAR points cover one pixel in fifteen, so that sampling every second row and column would lose most points.

    Returns:
        `[H, W]` metres, NaN unknown; and class ids `[H, W]`, 255 unknown.
    """
    depth = np.full(example.left.shape[:2], np.nan, np.float32) if example.depth is None else example.depth
    classes = np.full(depth.shape, UNKNOWN, np.uint8) if example.semantics is None else example.semantics
    row, column = np.nonzero(~np.isnan(depth) | (classes != UNKNOWN))
    far, kind = depth[row, column], classes[row, column]
    # later writes overwrite earlier ones: write pixels without depth first, then from far to near
    order = np.argsort(-np.nan_to_num(far, nan=np.inf), kind="stable")
    row, column, far, kind = row[order], column[order], far[order], kind[order]
    row, column = row * fit.scaled[0] // fit.source[0], column * fit.scaled[1] // fit.source[1]
    height, width = fit.content
    inside = (row < height) & (column < width)
    at = row[inside], column[inside]
    out_depth, out_classes = np.full(size, np.nan, np.float32), np.full(size, UNKNOWN, np.uint8)
    out_depth[at], out_classes[at] = far[inside], kind[inside]
    return out_depth, out_classes
