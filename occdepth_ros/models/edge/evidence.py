"""Stereo evidence of every voxel: an input of occdepth-edge-sfa."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.geometry import LIFT, EdgeGeometry
from occdepth_ros.models.images import ImageFit, resized
from occdepth_ros.models.predictor import ImageArray
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.free_space.carving import RayCarver
from occdepth_ros.stereo.ground.estimation import Ground, GroundFinder
from occdepth_ros.stereo.matching import STEPS, SemiGlobalMatcher
from occdepth_ros.stereo.surface import SurfaceBinning

FINE = LIFT**3
"""Number of voxels of the prediction in a lifted voxel."""
FINE_KINDS = 3
"""Kinds of evidence with a channel for each of the eight: distance to the surface, hits, height above the ground."""
CHANNELS = FINE_KINDS * FINE + 5 + 4
"""Number of channels of `evidence`: the fine channels; distance, disparity residual, validity, height above the ground
and visibility of the ground by lifted voxel; position."""
BEHIND = FINE_KINDS * FINE
"""Channel of `evidence` with the distance behind the matched surface, divided by `COARSE_REACH`."""
NEAREST_M = 3.0
"""Smallest depth that is matched, metres."""
FINE_REACH = 0.6
"""Distance to the matched surface at which the fine channel saturates, metres."""
COARSE_REACH = 4.0
"""Distance to the matched surface at which the coarse channel saturates, metres."""
GROUND_REACH = (2.0, 10.0)
"""Height above the ground at which its fine and its coarse channel saturate, voxel edges."""
MATCH_SCALE = 1.5
"""Size of the matched images relative to the network's images, limited by the size of the camera images: depth errors
decrease with the resolution, and matching takes little time compared with the network."""
RESIDUAL_REACH = 1.5
"""Difference of disparities at which the residual saturates, pixels."""
IN_VIEW, PASSED, ENDED, UNMATCHED = 1, 2, 4, 8
"""Bits of an `Observation`: the voxel's centre is in the left image; rays pass through the voxel; a ray ends in it or
in a neighbour; less than half of the pixels around its centre are matched."""


@dataclass(frozen=True)
class Measurement:
    """Result of matching one pair.

    Args:
        disparity: disparity of the network's left image, `[H, W]` float32, pixels; 0 = none.
        hit_voxels: flat indices of the voxels that contain matched points, `[K]` int64.
        hits: number of the network's pixels with a point in each of them, `[K]` float32; fractional for larger images.
        ground: height of the ground in every column of the grid, `[X, Y]` float32, voxel edges above its lower face.
        ground_seen: whether the ground is visible in the image, `[X, Y]` bool.
    """

    disparity: torch.Tensor
    hit_voxels: torch.Tensor
    hits: torch.Tensor
    ground: torch.Tensor
    ground_seen: torch.Tensor

    def to(self, device: torch.device | str) -> Measurement:
        """Return a copy on another device."""
        return Measurement(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True)
class Observation:
    """Evidence of the rays of one pair for each voxel.

    Args:
        bits: `[X, Y, Z]` uint8, sums of `IN_VIEW`, `PASSED`, `ENDED` and `UNMATCHED`.
    """

    bits: npt.NDArray[np.uint8]

    def shifted(self, layers: int) -> Observation:
        """Return the observation on the grid `layers` higher; layers outside of this grid have no evidence."""
        bits = np.zeros_like(self.bits)
        if layers >= 0:
            bits[..., : self.bits.shape[2] - layers] = self.bits[..., layers:]
        else:
            bits[..., -layers:] = self.bits[..., :layers]
        return Observation(bits)

    def applied(
        self, labels: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Limit labels, confidence and visibility of a prediction by this evidence, `[X, Y, Z]` each.

        A free voxel is SEEN only if rays pass through it, an occupied one only if a ray ends in it or next to it. Free
        voxels in view without a match on their ray become unknown, because only the image prior supports them.

        Args:
            labels: class ids, 0 = free, `[X, Y, Z]` uint8.
            confidence: probability of the label times 255, `[X, Y, Z]` uint8.
        """
        is_free = labels == EMPTY
        in_view = (self.bits & IN_VIEW) != 0
        seen = np.where(is_free, self.bits & PASSED, self.bits & ENDED) != 0
        # layers outside of the trained grid have label and confidence 0
        unsupported = is_free & (((self.bits & UNMATCHED) != 0) | (confidence == 0))
        visibility = np.where(in_view, np.uint8(Visibility.HIDDEN), np.uint8(Visibility.OUTSIDE))
        visibility[seen & in_view] = Visibility.SEEN
        labels, confidence = labels.copy(), confidence.copy()
        labels[unsupported], confidence[unsupported] = UNKNOWN, 0
        return labels, confidence, visibility


class StereoEvidence:
    """Matcher and binning of one calibration.

    Args:
        rig: the calibrated cameras.
        grid: the voxels of the prediction.
        fit: transform from their images to the network's images.

    Raises:
        CalibrationError: the images are too small to be matched.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid, fit: ImageFit) -> None:
        self.fit = fit.finer(MATCH_SCALE)
        rig = self.fit.rig(rig)
        self.matcher = SemiGlobalMatcher(rig, nearest_m=NEAREST_M)
        self.binning = SurfaceBinning(rig, grid, self.matcher.focal_baseline)
        self.ground = GroundFinder(rig, grid, self.matcher.focal_baseline)
        self._rig, self._grid = rig, grid
        self._carver: RayCarver | None = None
        self._coarse = fit
        self._finer = self.fit.scaled[1] / fit.scaled[1]

    def measure(self, left: ImageArray, right: ImageArray) -> Measurement:
        """Match one pair of the cameras' size, `[H, W, 3]` RGB uint8 each."""
        return self._measured(left, right)[0]

    def observe(self, left: ImageArray, right: ImageArray) -> tuple[Measurement, Observation]:
        """Match one pair as `measure` does, and find the voxels that its rays pass through or end in."""
        measurement, ground, steps = self._measured(left, right)
        if self._carver is None:
            self._carver = RayCarver(self._rig, self._grid, self.matcher.focal_baseline)
        carved = self._carver.carve(steps)
        _, ny, nz = self._grid.size
        observation = np.zeros(self._grid.count, np.uint8)
        observation[self._carver.in_view] = IN_VIEW + PASSED * carved.free + UNMATCHED * carved.unmatched
        hits = measurement.hit_voxels.numpy()
        for step in (0, 1, -1, nz, -nz, ny * nz, -ny * nz):
            # matches at the border of a voxel are also evidence of its neighbour
            near = hits + step
            observation[near[(near >= 0) & (near < len(observation))]] |= np.uint8(ENDED)
        confirmed = ground.confirmed.ravel()[ground.voxels // nz]
        observation[ground.voxels[confirmed]] |= np.uint8(ENDED)
        return measurement, Observation(observation.reshape(self._grid.size))

    def _measured(self, left: ImageArray, right: ImageArray) -> tuple[Measurement, Ground, npt.NDArray[np.int16]]:
        """Return the measurement, ground, and disparity at matching size."""
        steps = self.matcher.match(resized(left, self.fit), resized(right, self.fit))
        steps = self.binning.without_near_speckles(steps)
        points = self.binning.points(steps)
        hit_voxels, hits = self.binning.hits(points)
        ground = self.ground.find(points, self.binning.occupied_of(hit_voxels, hits), steps)
        matched = steps
        height, width = self._coarse.content
        if self._finer != 1:
            # nearest neighbour: the mean over a depth edge is the disparity of neither surface
            steps = np.asarray(cv2.resize(steps, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.int16)
        disparity = np.zeros(self._coarse.target, np.float32)
        disparity[:height, :width] = np.maximum(steps, 0) / np.float32(STEPS * self._finer)
        measurement = Measurement(
            torch.from_numpy(disparity),
            torch.from_numpy(hit_voxels),
            torch.from_numpy(hits.astype(np.float32) / np.float32(self._finer**2)),
            torch.from_numpy(ground.height),
            torch.from_numpy(ground.seen),
        )
        return measurement, ground, matched


def evidence(stereo: Measurement, geometry: EdgeGeometry) -> torch.Tensor:
    """Compare every voxel with the matched surface in its pixel.

    Args:
        stereo: result of matching.
        geometry: tables of the calibration, on the same device.

    Returns:
        `[1, CHANNELS, X, Y, Z]` on the lifted grid, all but the position within [-1, 1]; 0 where nothing was matched.
    """
    hits = torch.zeros_like(geometry.fine_depth)
    hits[stereo.hit_voxels] = stereo.hits
    return compared(stereo.disparity, hits, stereo.ground, stereo.ground_seen, geometry)


def compared(
    disparity: torch.Tensor,
    hits: torch.Tensor,
    ground: torch.Tensor,
    ground_seen: torch.Tensor,
    geometry: EdgeGeometry,
) -> torch.Tensor:
    """Compute `evidence` from arrays of constant shape.

    Args:
        disparity, ground, ground_seen: as in `Measurement`.
        hits: number of pixels with a point in each voxel, `[M]` float32.
        geometry: tables of the calibration, on the same device.
    """
    size = geometry.size
    disparity = disparity.flatten().index_select(0, geometry.fine_pixel)  # [M]
    depth = geometry.fine_depth
    valid = (disparity > 0) & depth.isfinite()
    surface = geometry.focal_baseline / disparity.clamp_min(0.05)
    behind = torch.where(valid, depth - surface, 0.0)  # metres behind the matched surface
    residual = torch.where(valid, disparity - geometry.focal_baseline / depth, 0.0)
    expected = geometry.face / depth.nan_to_num(60.0).square()  # pixels that a face of the voxel covers
    filled = (hits / (0.5 * expected + 1)).clamp_max(1)
    x, y, z = size
    layer = torch.arange(LIFT * z, device=depth.device) + 0.5
    above = (layer - ground[..., None]).flatten()
    fine = [
        folded(value, size)
        for value in ((behind / FINE_REACH).clamp(-1, 1), filled, (above / GROUND_REACH[0]).clamp(-1, 1))
    ]
    seen = ground_seen.float().view(x, LIFT, y, LIFT).amax((1, 3))
    coarse = [
        folded(value, size).mean(0, keepdim=True)
        for value in (
            (behind / COARSE_REACH).clamp(-1, 1),
            (residual / RESIDUAL_REACH).clamp(-1, 1),
            valid.float(),
            (above / GROUND_REACH[1]).clamp(-1, 1),
        )
    ]
    shown = seen[None, :, :, None].expand(1, x, y, z)
    return torch.cat([*fine, *coarse, shown, geometry.position])[None]


def folded(values: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Return the values of all voxels, `[M]`, by lifted voxel: `[8, X, Y, Z]`, the eight in C order of (x, y, z)."""
    x, y, z = size
    return values.view(x, LIFT, y, LIFT, z, LIFT).permute(1, 3, 5, 0, 2, 4).reshape(FINE, x, y, z)


def unfolded(values: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Return the inverse of `folded`: `[8, N]` or `[8, X, Y, Z]` by lifted voxel to `[2X, 2Y, 2Z]`."""
    x, y, z = size
    fine = values.view(LIFT, LIFT, LIFT, x, y, z).permute(3, 0, 4, 1, 5, 2)
    return fine.reshape(LIFT * x, LIFT * y, LIFT * z)
