"""Matched surface of a stereo pair: matched pixels as points in voxels."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.models.images import normalize
from occdepth_ros.stereo.matching import ImageArray
from occdepth_ros.stereo.occupancy import StereoOccupancy


@dataclass(frozen=True)
class MatchedSurface:
    """Image, depth and points of one scene.

    Points are the matched pixels in occupied voxels, that is, voxels with enough points (see
    `SurfaceBinning.occupied`).

    Args:
        image: left image at matching size, normalised, `[3, h, w]` float32.
        depth: depth of its pixels, `[h, w]` float32, metres; 0 = no match.
        points: `[N, 3]` float32, voxel edges from the grid's lower corner.
        voxel: flat index of every point's voxel, `[N]` int64.
        pixel: flat index of every point's pixel, `[N]` int64.
    """

    image: torch.Tensor
    depth: torch.Tensor
    points: torch.Tensor
    voxel: torch.Tensor
    pixel: torch.Tensor

    @classmethod
    def of(cls, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> MatchedSurface:
        """Return the surface of one pair.

        Args:
            stereo: the matcher.
            left: `[h, w, 3]` RGB uint8 at matching size.
            disparity: result of `StereoOccupancy.match`.
        """
        found = stereo.binning.points(disparity)
        occupied = np.zeros(stereo.grid.count, bool)
        occupied[stereo.binning.occupied(found)] = True
        kept = occupied[found.voxel]
        return cls(
            normalize(torch.from_numpy(left)),
            torch.from_numpy(np.nan_to_num(stereo.matcher.depth(disparity), nan=0.0)),
            torch.from_numpy(np.stack([found.x, found.y, found.z], axis=1)[kept]),
            torch.from_numpy(found.voxel[kept].astype(np.int64)),
            torch.from_numpy(found.pixel[kept].astype(np.int64)),
        )

    def to(self, device: torch.device | str) -> MatchedSurface:
        """Return a copy on another device."""
        return MatchedSurface(*(getattr(self, f.name).to(device) for f in fields(self)))
