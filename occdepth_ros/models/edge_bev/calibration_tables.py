"""Tables of one calibration of the bird's-eye-view architecture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.evidence import StereoEvidence
from occdepth_ros.models.edge_bev.levelling import LevelFrames
from occdepth_ros.models.edge_bev.tables import BevTables
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.readout import VisibilityTable


@dataclass(frozen=True)
class CalibrationTables:
    """Tables of one calibration.

    Args:
        fit: transform from the rig's image to the network's image.
        evidence: stereo evidence of the calibration.
        projection: projection of the voxels of the trained grid.
        visibility: projection of the voxels of the predicted grid.
        layers: height of the predicted grid above the trained grid, layers.
        levels: frames that follow the ground.
        grid: the trained grid.
    """

    fit: ImageFit
    evidence: StereoEvidence
    projection: BevTables
    visibility: VisibilityTable
    layers: int
    levels: LevelFrames
    grid: VoxelGrid


@torch.inference_mode()
def compared_depth(tables: CalibrationTables, disparity: npt.NDArray[np.int16]) -> tuple[torch.Tensor, torch.Tensor]:
    """Compare the voxels of the predicted grid with the matched depth.

    Args:
        tables: tables of the calibration.
        disparity: `[h, w]`, 1/16 pixels, as from `StereoEvidence.match`.

    Returns:
        visibility `[X, Y, Z]` uint8, and the depth at the size of the rig's images, `[H, W]`, metres, NaN = none.
    """
    depth = torch.from_numpy(tables.evidence.matcher.depth(disparity))
    return tables.visibility.classify(depth), tables.fit.restore(depth)
