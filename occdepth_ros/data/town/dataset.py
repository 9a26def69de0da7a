"""Random street scenes by index: stereo pair, rig, depth and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.data.town.layout import Street, make_street
from occdepth_ros.data.town.raster import Eye, SunMap, rasterize
from occdepth_ros.data.town.shading import develop, shade, with_ground
from occdepth_ros.data.town.voxels import hide, solid_labels, visible
from occdepth_ros.grid import VoxelGrid

KITTI_FOCAL = 718.0 / 1242


@dataclass(frozen=True)
class StreetExample:
    """One generated scene.

    Args:
        left, right: `[H, W, 3]` RGB uint8.
        rig: the cameras and the grid's pose.
        depth: of the left picture, `[H, W]` metres, infinity in the sky.
        labels: completed truth, `[X, Y, Z]` uint8: 0 free, class ids, 255 unknown.
        seen: whether the voxel's truth was seen from the frame's own place, `[X, Y, Z]`; the rest was completed
            from places further along the street, or is unknown.
    """

    left: npt.NDArray[np.uint8]
    right: npt.NDArray[np.uint8]
    rig: StereoRig
    depth: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    seen: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class StreetDataset:
    """Scenes that depend on seed and index alone.

    Args:
        seed: of the whole set.
        length: number of scenes.
        width, height: of the pictures, pixels.
        places: from how many places along the street, 8 m apart, the truth is completed.
    """

    seed: int
    length: int
    width: int = 620
    height: int = 188
    places: int = 6
    grid: VoxelGrid = VoxelGrid.semantic_kitti()  # noqa: RUF009

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[StreetExample]:
        return (self[index] for index in range(self.length))

    def __getitem__(self, index: int) -> StreetExample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        street = make_street(rng)
        rig = _rig(rng, self.width, self.height)
        pose = _pose(rng, street)
        sun = _sun(rng)
        shadows = rasterize(sun, street.world)
        exposure = rng.uniform(0.5, 0.95)
        pictures, inverse = [], []
        for camera, camera_from_grid in ((rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)):
            eye = Eye.of(camera.intrinsics, pose @ np.linalg.inv(camera_from_grid), self.width, self.height)
            hits = rasterize(eye, street.world)
            w = with_ground(eye, hits)
            inverse.append(w)
            pictures.append(develop(shade(eye, street, hits, w, sun, shadows), exposure, rng))
        with np.errstate(divide="ignore"):
            depth = np.asarray(1 / inverse[0], np.float32)
        labels, seen = self._truth(street, pose)
        return StreetExample(pictures[0], pictures[1], rig, depth, labels, seen)

    def _truth(self, street: Street, pose: Matrix) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        labels = solid_labels(street, self.grid, pose)
        inverse = np.linalg.inv(pose)
        masks = []
        for x in 8.0 * np.arange(self.places):
            place = np.array([x, street.ground.middle(x) + street.lane, pose[2, 3]])
            local = inverse[:3, :3] @ place + inverse[:3, 3]
            masks.append(visible(labels, (local - np.asarray(self.grid.origin)) / self.grid.resolution - 0.5))
        own = hide(labels, masks[0])
        completed = hide(labels, np.logical_or.reduce(masks))
        return completed, (own != 255)


def _rig(rng: np.random.Generator, width: int, height: int) -> StereoRig:
    focal = KITTI_FOCAL * width * rng.uniform(0.85, 1.2)
    k = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2 - rng.uniform(0, 0.04) * height], [0, 0, 1]])
    shift = np.zeros((3, 1))
    left = PinholeCamera(np.hstack([k, shift]), width, height)
    shift[0] = -focal * rng.uniform(0.35, 0.7)
    pitch = rng.normal(0, 0.015)
    c, s = np.cos(pitch), np.sin(pitch)
    axes = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[0, -1.0, 0], [0, 0, -1.0], [1.0, 0, 0]])
    from_grid = np.eye(4)
    from_grid[:3, :3] = axes
    from_grid[:3, 3] = axes @ -np.array([rng.uniform(0.1, 0.4), rng.uniform(-0.1, 0.1), rng.uniform(-0.2, 0.05)])
    return StereoRig(left, PinholeCamera(np.hstack([k, shift]), width, height), from_grid)


def _pose(rng: np.random.Generator, street: Street) -> Matrix:
    yaw, pitch, roll = rng.normal(0, (0.03, 0.01, 0.007))
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    pose = np.eye(4)
    pose[:3, :3] = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    pose[:3, 3] = [0, street.lane + rng.normal(0, 0.2), rng.uniform(1.6, 1.9)]
    return pose


def _sun(rng: np.random.Generator) -> SunMap:
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.2)
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    return SunMap(sun, (-12.0, -36.0), 0.12, 700, 600)
