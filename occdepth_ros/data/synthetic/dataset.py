"""Random synthetic scenes by index: stereo pair, rig, depth and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.data.earlier import EarlierView
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.synthetic.labels.lidar import lidar_labels
from occdepth_ros.data.synthetic.labels.voxels import solid_labels
from occdepth_ros.data.synthetic.rendering.camera import CameraResponse
from occdepth_ros.data.synthetic.rendering.camera_view import Array, CameraView
from occdepth_ros.data.synthetic.rendering.raster import Hits, rasterize
from occdepth_ros.data.synthetic.rendering.relief import add_ground
from occdepth_ros.data.synthetic.rendering.shading import Weather, semantics, shade
from occdepth_ros.data.synthetic.rendering.shadow_map import ShadowMap
from occdepth_ros.data.synthetic.scene.layout import Scene, make_scene
from occdepth_ros.errors import SourceError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.rotation import from_roll_pitch_yaw
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

KITTI_FOCAL = 718.0 / 1242
SCANS = 10
"""Number of scans of the drive from which the ground truth is computed."""


SPLITS = {"train": 0, "test": 1}
"""Random number stream of each split: for any seed, the splits share no scene."""


@dataclass(frozen=True)
class SyntheticDataset:
    """Scenes that depend only on split, seed, index and size.

    Args:
        seed: seed of the data set.
        length: number of scenes.
        width, height: size of the images, pixels.
        split: "train" or "test".
        grid: grid of the ground truth; SemanticKITTI's grid by default.
        past: offsets of earlier images of the left camera, in frames of 0.1 s, such as -3; only the camera moves
            between them. They do not change the rest of the scene.

    Raises:
        SourceError: there is no such split.
    """

    seed: int
    length: int
    width: int = 620
    height: int = 188
    split: str = "train"
    grid: VoxelGrid = BENCHMARK_GRID
    past: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise SourceError(
                f"there is no split {self.split!r}", where="synthetic", remedy=f"Choose from {', '.join(SPLITS)}."
            )

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[SceneExample]:
        return (self[index] for index in range(self.length))

    def name(self, index: int) -> str:
        """Return the name of a scene, such as train-0-000005."""
        return f"{self.split}-{self.seed}-{index:06d}"

    def __getitem__(self, index: int) -> SceneExample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng([SPLITS[self.split], self.seed, index])
        scene = make_scene(rng)
        rig = _rig(rng, self.width, self.height)
        pose = _pose(rng, scene)
        sun = _sun(rng)
        shadows = rasterize(sun, scene.world)
        exposure = 0.0
        weather, response = Weather.draw(rng), CameraResponse.draw(rng)
        images: list[npt.NDArray[np.uint8]] = []
        inverse: list[npt.NDArray[np.float32]] = []
        classes: list[npt.NDArray[np.uint8]] = []
        for camera, camera_from_grid in ((rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)):
            view = CameraView.from_pose(
                camera.intrinsics, pose @ np.linalg.inv(camera_from_grid), self.width, self.height
            )
            hits, w, grounded = _hits(view, scene)
            inverse.append(w)
            if not classes:
                classes.append(semantics(view, scene, hits, w, grounded))
            linear = shade(view, scene, weather, hits, w, grounded, sun, shadows)
            exposure = exposure or response.exposure(linear)
            images.append(response.develop(linear, exposure * np.exp(rng.normal(0, 0.03)), rng))
        with np.errstate(divide="ignore"):
            depth = np.asarray(1 / inverse[0], np.float32)
        target, seen = self._ground_truth(scene, pose, rng)
        earlier: dict[int, EarlierView] = {}
        rng = np.random.default_rng([SPLITS[self.split], self.seed, index, 1])
        metres_per_frame = rng.uniform(0.4, 1.3)
        for offset in self.past:
            then = along_lane(scene, pose, metres_per_frame * offset)
            view = CameraView.from_pose(
                rig.left.intrinsics, then @ np.linalg.inv(rig.left_from_grid), self.width, self.height
            )
            hits, w, grounded = _hits(view, scene)
            linear = shade(view, scene, weather, hits, w, grounded, sun, shadows)
            image = response.develop(linear, exposure * np.exp(rng.normal(0, 0.03)), rng)
            earlier[offset] = EarlierView.of_poses(image, rig, pose, then)
        return SceneExample(
            self.name(index),
            images[0],
            images[1],
            rig,
            self.grid,
            target,
            seen,
            depth,
            classes[0],
            earlier=earlier if self.past else None,
        )

    def _ground_truth(
        self, scene: Scene, pose: Matrix, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        solid = solid_labels(scene, self.grid, pose)
        reference = int(rng.integers(0, SCANS))
        x = (np.arange(SCANS) - reference) * rng.uniform(0.3, 1.5) * (1.5 if scene.kind == "motorway" else 1.0)
        y = scene.ground.middle(x) + scene.lane
        climb = scene.ground.height(x, y) - scene.ground.height(pose[0, 3], pose[1, 3])
        positions = np.stack([x, y, pose[2, 3] + climb], axis=1)
        positions[reference] = pose[:3, 3]
        local = (positions - pose[:3, 3]) @ pose[:3, :3]
        return lidar_labels(solid, self.grid, local, reference, rng)


def _hits(view: CameraView, scene: Scene) -> tuple[Hits, Array, npt.NDArray[np.bool_]]:
    """Return the inverse depth of the first hits, `[H, W]`, and a mask of the pixels that show the ground."""
    hits = rasterize(view, scene.world)
    return hits, *add_ground(view, hits, scene.ground, scene.backdrop)


def _rig(rng: np.random.Generator, width: int, height: int) -> StereoRig:
    """Draw random cameras around those of KITTI's car: LiDAR 1.73 m above the road, cameras 0.08 m lower."""
    focal = KITTI_FOCAL * width * np.exp(rng.normal(0, 0.07))
    principal = (width - 1) * rng.normal(0.49, 0.01), (height - 1) * rng.normal(0.49, 0.02)
    k = np.array([[focal, 0, principal[0]], [0, focal, principal[1]], [0, 0, 1]])
    shift = np.zeros((3, 1))
    left = PinholeCamera(np.hstack([k, shift]), width, height)
    shift[0] = -focal * np.clip(rng.normal(0.535, 0.06), 0.35, 0.75)
    pitch, yaw, roll = rng.normal((0.006, 0, 0), (0.008, 0.004, 0.004))
    axes = from_roll_pitch_yaw(roll, pitch, yaw) @ np.array([[0, -1.0, 0], [0, 0, -1.0], [1.0, 0, 0]]).T
    from_grid = np.eye(4)
    from_grid[:3, :3] = axes.T
    from_grid[:3, 3] = axes.T @ -rng.normal((0.29, 0.0, -0.075), (0.05, 0.03, 0.03))
    return StereoRig(left, PinholeCamera(np.hstack([k, shift]), width, height), from_grid)


def _pose(rng: np.random.Generator, scene: Scene) -> Matrix:
    """Return the pose of the LiDAR in the world, `[4, 4]`; that of KITTI is pitched down by 0.011 rad."""
    pose = np.eye(4)
    yaw, pitch, roll = rng.normal((0, 0.011, 0), (0.03, 0.007, 0.008))
    pose[:3, :3] = from_roll_pitch_yaw(roll, pitch, yaw)
    y = scene.lane + rng.normal(0, 0.3)
    pose[:3, 3] = [0, y, float(scene.ground.height(0.0, y)) + rng.normal(1.73, 0.04)]
    return pose


def along_lane(scene: Scene, pose: Matrix, distance: float) -> Matrix:
    """Return the pose of the LiDAR `[4, 4]` after `distance` metres along its lane; its yaw follows the street."""
    x, y = pose[:2, 3]
    steps = np.array([0.0, distance])
    middle, ahead = (scene.ground.middle(x + steps + step) for step in (0.0, 1.0))
    slope = ahead - middle
    out = pose.copy()
    out[:3, :3] = from_roll_pitch_yaw(0, 0, float(np.diff(np.arctan(slope))[0])) @ pose[:3, :3]
    out[0, 3] += distance
    out[1, 3] += float(np.diff(middle)[0])
    out[2, 3] += float(scene.ground.height(out[0, 3], out[1, 3]) - scene.ground.height(x, y))
    return out


def _sun(rng: np.random.Generator) -> ShadowMap:
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.2)
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    return ShadowMap(sun, (-12.0, -36.0), 0.12, 700, 600)
