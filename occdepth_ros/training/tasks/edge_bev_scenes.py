"""Inputs of the bird's-eye-view architecture prepared for training, and their mirror images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.models.edge_bev.config import FINE, LIFT
from occdepth_ros.models.edge_bev.evidence import RIGHT
from occdepth_ros.models.edge_bev.memory import MemoryContent
from occdepth_ros.models.edge_bev.readout import folded
from occdepth_ros.models.edge_bev.scene_inputs import SceneInputs
from occdepth_ros.stereo.projection import project_voxels
from occdepth_ros.training.losses.bev_terms import FREE_HIDDEN, FREE_OUTSIDE

COLUMN_RIGHT = 5
"""Channel of `column_evidence` whose sign changes in a mirrored scene."""


@dataclass(frozen=True)
class PreparedInputs:
    """`SceneInputs` that a batch moves to a device.

    Args:
        scene: the inputs.
    """

    scene: SceneInputs

    def to(self, device: torch.device | str) -> PreparedInputs:
        """Return a copy on another device."""
        return PreparedInputs(self.scene.to(device))


def training_target(example: SceneExample) -> torch.Tensor:
    """Return the target by lifted voxel `[N, 8]`, in which free space that the frame's rays do not reach is marked.

    Hidden free space is labelled in most voxels, hidden surfaces only where a scan reached them, so a loss with equal
    weights would train the network to predict no hidden surfaces.
    """
    target = example.target.copy()
    if example.seen is not None:
        found = project_voxels(example.grid, example.rig.left, example.rig.left_from_grid)
        in_view = found.visible.reshape(example.grid.size)
        free = (target == EMPTY) & ~example.seen
        target[free & in_view] = FREE_HIDDEN
        target[free & ~in_view] = FREE_OUTSIDE
    return folded(torch.from_numpy(target))


def mirrored_inputs(scene: SceneInputs, layers: int) -> SceneInputs:
    """Return the inputs of the scene mirrored left to right (y to -y); the image is kept, since cells are looked up by
    index.

    Args:
        scene: inputs of the scene.
        layers: lifted voxels along z.
    """
    width = scene.columns.shape[1]
    swapped = torch.arange(FINE).view(LIFT, LIFT, LIFT).flip(1).flatten()
    order = torch.cat([swapped, FINE + swapped, torch.arange(2 * FINE, scene.evidence.shape[1])])
    evidence = scene.evidence[:, order]
    evidence[:, RIGHT] *= -1
    columns = scene.columns.flip(1)
    columns[..., COLUMN_RIGHT] *= -1
    memory = scene.memory
    features = memory.features[:, torch.cat([swapped, torch.arange(FINE, memory.features.shape[1])])]
    return replace(
        scene,
        state=scene.state.view(-1, width, layers).flip(1).flatten(),
        rows=_mirrored_rows(scene.rows, width, layers),
        evidence=evidence,
        columns=columns,
        ground_cell=scene.ground_cell.flip(1),
        ground_seen=scene.ground_seen.flip(1),
        ground_height=scene.ground_height.flip(1),
        memory=MemoryContent(_mirrored_rows(memory.rows, width, layers), features, memory.columns.flip(1)),
    )


def _mirrored_rows(rows: torch.Tensor, width: int, layers: int) -> torch.Tensor:
    x, rest = rows // (width * layers), rows % (width * layers)
    y, z = rest // layers, rest % layers
    return (x * width + width - 1 - y) * layers + z


def mirrored_target(target: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Mirror a target `[N, 8]` by lifted voxel left to right; `size` in lifted voxels."""
    x, y, z = size
    whole = target.view(x, y, z, LIFT, LIFT, LIFT)
    return whole.flip(1, 4).reshape(-1, FINE)


def image_labels(example: SceneExample, scaled: tuple[int, int], cells: tuple[int, int], stride: int) -> torch.Tensor:
    """Return the class of each cell of the image network's maps, `[h, w]` uint8: the label of a labelled pixel of the
    cell.

    Args:
        example: the scene.
        scaled: height and width of its image in the network's scale, pixels.
        cells: height and width of the maps.
        stride: pixels along the edge of a cell.
    """
    out = np.full(cells, UNKNOWN, np.uint8)
    if example.semantics is None:
        return torch.from_numpy(out)
    row, column = np.nonzero(example.semantics != UNKNOWN)
    label = example.semantics[row, column]
    height, width = example.semantics.shape
    row, column = row * scaled[0] // height // stride, column * scaled[1] // width // stride
    inside = (row < cells[0]) & (column < cells[1])
    out[row[inside], column[inside]] = label[inside]
    return torch.from_numpy(out)
