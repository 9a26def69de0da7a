"""The voxel grid: position of each voxel of an occupancy prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import GridError

MAX_VOXELS = 1 << 28
"""Largest accepted number of voxels; a larger grid is almost certainly a mistyped parameter."""


@dataclass(frozen=True)
class VoxelGrid:
    """An axis-aligned grid of cubic voxels.

    Axis order is [x, y, z] (x forward, y left, z up; REP-103), C-contiguous.

    Args:
        origin: lower corner of voxel (0, 0, 0) in `frame_id`, metres.
        size: number of voxels along x, y, z.
        resolution: edge length of a voxel, metres.
        frame_id: the frame in which the grid is fixed.

    Raises:
        GridError: a size or the resolution is not positive or not finite, or there are more than `MAX_VOXELS` voxels.
    """

    origin: tuple[float, float, float]
    size: tuple[int, int, int]
    resolution: float
    frame_id: str = "velodyne"

    def __post_init__(self) -> None:
        where = "grid"
        try:
            if any(v != int(v) for v in self.size):
                raise ValueError
            object.__setattr__(self, "origin", tuple(float(v) for v in self.origin))
            object.__setattr__(self, "size", tuple(int(v) for v in self.size))
            object.__setattr__(self, "resolution", float(self.resolution))
        except (TypeError, ValueError, OverflowError):
            raise GridError(
                f"origin {self.origin}, size {self.size} and resolution {self.resolution} are not all numbers "
                "of the required type",
                where=where,
                remedy="Give three numbers, three integers, and one number.",
            ) from None
        if len(self.origin) != 3 or not np.isfinite(self.origin).all():
            raise GridError(
                f"the origin {self.origin} is not three finite numbers", where=where, remedy="Give x, y, z in metres."
            )
        if len(self.size) != 3 or min(self.size) < 1:
            raise GridError(
                f"the size {self.size} is not three positive counts", where=where, remedy="Give voxels along x, y, z."
            )
        if self.count > MAX_VOXELS:
            raise GridError(
                f"the size {self.size} has more than {MAX_VOXELS} voxels",
                where=where,
                remedy="Choose a smaller grid or a coarser resolution.",
            )
        if not np.isfinite(self.resolution) or self.resolution <= 0:
            raise GridError(
                f"the resolution {self.resolution} m is not positive",
                where=where,
                remedy="Give the voxel edge in metres.",
            )

    @classmethod
    def semantic_kitti(cls, frame_id: str = "velodyne") -> VoxelGrid:
        """Return the SemanticKITTI benchmark's grid: 256x256x32 voxels of 0.2 m from (0, -25.6, -2.0), LiDAR frame."""
        return cls((0.0, -25.6, -2.0), (256, 256, 32), 0.2, frame_id)

    @property
    def count(self) -> int:
        """Number of voxels."""
        return self.size[0] * self.size[1] * self.size[2]

    @property
    def extent(self) -> tuple[float, float, float]:
        """Edge lengths of the grid, metres."""
        nx, ny, nz = self.size
        return nx * self.resolution, ny * self.resolution, nz * self.resolution

    def axis_centers(self, axis: int) -> npt.NDArray[np.float64]:
        """Return the coordinates of the voxel centres along one axis, `[size[axis]]`, metres."""
        index = np.arange(self.size[axis], dtype=np.float64)
        return self.origin[axis] + self.resolution * index + self.resolution / 2

    def centers(self) -> npt.NDArray[np.float32]:
        """Return the centres of all voxels, `[X*Y*Z, 3]` float32, metres, in C order of (x, y, z).

        Computed in float64 and rounded once.
        """
        out = np.empty((*self.size, 3), np.float32)
        out[..., 0] = self.axis_centers(0)[:, None, None]
        out[..., 1] = self.axis_centers(1)[None, :, None]
        out[..., 2] = self.axis_centers(2)[None, None, :]
        return out.reshape(-1, 3)

    def centers_of(self, index: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Return the centres of the voxels `index` `[N, 3]`, metres, `[N, 3]`."""
        return np.asarray(self.origin) + (np.asarray(index) + 0.5) * self.resolution

    def index_of(self, points: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the voxel of each point and whether it lies inside.

        Args:
            points: `[N, 3]` metres, in `frame_id`; NaN and infinity are outside.

        Returns:
            indices `[N, 3]` (valid where inside) and inside `[N]`.
        """
        cell = np.floor((np.asarray(points, np.float64) - self.origin) / self.resolution)
        inside: npt.NDArray[np.bool_] = np.all((cell >= 0) & (cell < self.size), axis=-1)
        return np.where(inside[..., None], cell, 0).astype(np.int64), inside

    def coarsened(self, factor: int) -> VoxelGrid:
        """Return the grid of the same extent with voxels `factor` times as large.

        Raises:
            GridError: a size is not a multiple of `factor`.
        """
        if factor < 1 or any(n % factor for n in self.size):
            raise GridError(
                f"the size {self.size} is not divisible by {factor}",
                where="grid",
                remedy=f"Use sizes that are multiples of {factor}.",
            )
        nx, ny, nz = self.size
        return replace(self, size=(nx // factor, ny // factor, nz // factor), resolution=self.resolution * factor)

    def accept(self, given: VoxelGrid, *, subject: str) -> None:
        """Check that a grid has this size and resolution; the origin is arbitrary.

        Args:
            given: grid to check.
            subject: subject and verb of the error message, such as "occdepth-b3 predicts".

        Raises:
            GridError: the size or resolution differs.
        """
        if given.size != self.size or abs(given.resolution - self.resolution) > 1e-6:
            raise GridError(
                f"{subject} {self.size} voxels of {self.resolution:g} m, not {given.size} of {given.resolution:g} m",
                where="grid",
                remedy="Use this size and resolution; the origin is arbitrary.",
            )

    def offset_to(self, other: VoxelGrid) -> tuple[int, int, int]:
        """Return the index in `other` of this grid's voxel (0, 0, 0), for two grids on the same lattice.

        Raises:
            GridError: the resolutions differ, or the origins do not differ by an integer number of voxels.
        """
        shift = (np.asarray(self.origin) - other.origin) / self.resolution
        whole = np.rint(shift)
        if abs(self.resolution - other.resolution) > 1e-9 or np.abs(shift - whole).max() > 1e-3:
            raise GridError(
                f"{self} and {other} are not on the same lattice",
                where="grid",
                remedy="Resample one of the grids first.",
            )
        return int(whole[0]), int(whole[1]), int(whole[2])
