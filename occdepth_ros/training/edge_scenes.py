"""Parts of scenes and of what was measured in them, and ground truth at the scale of the network's image."""

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
class Known:
    """What is known of a scene's voxels before anything is learnt.

    A tensor of its own would lose its layout where scenes are put together to batches.

    Args:
        evidence: see `models.edge.evidence.evidence`, channels innermost.
    """

    evidence: torch.Tensor

    @classmethod
    def of(cls, measured: Measurement, geometry: EdgeGeometry) -> Known:
        """Compare what was measured with every voxel."""
        return cls(evidence(measured, geometry).contiguous(memory_format=torch.channels_last_3d))

    def to(self, device: torch.device | str) -> Known:
        """The same on another device."""
        return Known(self.evidence.to(device))


def slab(example: SceneExample, columns: int, rng: np.random.Generator) -> SceneExample:
    """The scene on a random slab of its grid, `columns` voxels wide along y and at most as wide as the grid."""
    grid = example.grid
    columns = min(columns, grid.size[1])
    first = int(rng.integers(grid.size[1] - columns + 1))
    x, y, z = grid.origin
    cut = slice(first, first + columns)
    return replace(
        example,
        grid=replace(grid, origin=(x, y + first * grid.resolution, z), size=(grid.size[0], columns, grid.size[2])),
        target=np.ascontiguousarray(example.target[:, cut]),
        seen=None if example.seen is None else np.ascontiguousarray(example.seen[:, cut]),
    )


def cut(measured: Measurement, whole: VoxelGrid, part: VoxelGrid) -> Measurement:
    """What was measured on a grid, on a slab of it along y."""
    first, columns = part.offset_to(whole)[1], part.size[1]
    layers = whole.size[2]
    x, rest = measured.hit_voxels // (whole.size[1] * layers), measured.hit_voxels % (whole.size[1] * layers)
    y, z = rest // layers - first, rest % layers
    inside = (y >= 0) & (y < columns)
    return replace(
        measured,
        hit_voxels=((x * columns + y) * layers + z)[inside],
        hits=measured.hits[inside],
        ground=measured.ground[:, first : first + columns].contiguous(),
        ground_seen=measured.ground_seen[:, first : first + columns].contiguous(),
    )


def guessable(target: torch.Tensor, seen: torch.Tensor, geometry: EdgeGeometry) -> torch.Tensor:
    """A ground truth without the hidden free space that the left image does not show, `[X, Y, Z]`.

    Hidden surfaces are known where some scan struck them, hidden free space nearly everywhere. Before the camera the
    image says which is more likely; out of its view, a network that is told of free space so much more often learns
    that nothing stands there.

    Args:
        target: class ids, 255 unknown.
        seen: what the frame's own place sees.
        geometry: tables of the calibration on the same grid.
    """
    in_view = unfolded(geometry.visible[0][None].expand(FINE, -1).contiguous(), geometry.size)
    return torch.where((target == EMPTY) & ~seen & ~in_view, UNKNOWN, target)


def fitted_ground_truth(
    example: SceneExample, fit: ImageFit, size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Depth and classes of the left image's pixels at the network's scale; the nearest thing in a pixel counts.

    A LiDAR marks one pixel of fifteen; picking every other row and column would lose most of its points.

    Returns:
        `[H, W]` metres, NaN unknown; and class ids `[H, W]`, 255 unknown.
    """
    depth = np.full(example.left.shape[:2], np.nan, np.float32) if example.depth is None else example.depth
    classes = np.full(depth.shape, UNKNOWN, np.uint8) if example.semantics is None else example.semantics
    row, column = np.nonzero(~np.isnan(depth) | (classes != UNKNOWN))
    far, kind = depth[row, column], classes[row, column]
    # written last counts: the nearest, and what has a depth before what has none
    order = np.argsort(-np.nan_to_num(far, nan=np.inf), kind="stable")
    row, column, far, kind = row[order], column[order], far[order], kind[order]
    row, column = row * fit.scaled[0] // fit.source[0], column * fit.scaled[1] // fit.source[1]
    height, width = fit.content
    inside = (row < height) & (column < width)
    at = row[inside], column[inside]
    out_depth, out_classes = np.full(size, np.nan, np.float32), np.full(size, UNKNOWN, np.uint8)
    out_depth[at], out_classes[at] = far[inside], kind[inside]
    return out_depth, out_classes
