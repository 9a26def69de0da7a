"""Ghosts of moving objects: a synthetic drive past moving cars and people, fused, and compared with the true scene.

A ghost is a voxel that the map shows as an obstacle at least `LIMIT_S` after a moving object left it, although it is
free. Predictions have the errors of networks: wrong classes, objects that are smeared by a voxel, and completed voxels
behind objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.mapping import MapConfig, OccupancyMap
from occdepth_ros.mapping.resampling import resample
from occdepth_ros.prediction import OccupancyPrediction, Visibility

PERIOD_S = 0.1
LIMIT_S = 2.0
GRID = VoxelGrid((0.0, -9.6, -1.8), (96, 96, 16), 0.2, "velodyne")
CONFIG = MapConfig(size=(160, 128, 32), max_bytes=16 << 20)
CAMERA = np.array([0.3, 0.0, 0.0])
RAY_DEG = 1.0
WRONG_CLASS, SMEARED = 0.1, 0.2
"""Share of an object's voxels with the class of vegetation, and of its neighbours that are predicted as the object."""

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Mover:
    """A box that moves at constant speed.

    Args:
        label: class id.
        start, size: lower corner at time 0 and edge lengths, metres in the world.
        velocity: along x and y, metres per second.
    """

    label: int
    start: tuple[float, float, float]
    size: tuple[float, float, float]
    velocity: tuple[float, float]


MOVERS = (
    Mover(SEMANTIC_KITTI.id_of("car"), (9.0, -12.0, -1.6), (1.8, 4.4, 1.5), (0.0, 5.0)),
    Mover(SEMANTIC_KITTI.id_of("car"), (26.0, 2.0, -1.6), (4.4, 1.8, 1.5), (-7.0, 0.0)),
    Mover(SEMANTIC_KITTI.id_of("person"), (7.0, 5.0, -1.6), (0.6, 0.6, 1.7), (0.3, -1.4)),
    Mover(SEMANTIC_KITTI.id_of("bicyclist"), (2.0, -4.0, -1.6), (1.8, 0.6, 1.7), (4.0, 0.3)),
)


@dataclass
class GhostReport:
    """Result of `measure`.

    Args:
        left: number of voxels that objects had left for at least `LIMIT_S`, summed over the frames.
        ghosts: number of these that the map showed as obstacles.
        shown: share of the voxels of visible objects that the map showed while the objects were there, by frame.
    """

    left: int = 0
    ghosts: int = 0
    shown: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Ghosts among the voxels that were left, 0..1."""
        return self.ghosts / max(1, self.left)


def measure(frames: int = 60, seed: int = 0) -> GhostReport:
    """Fuse a drive at 2 m/s (one voxel per frame) and count ghosts."""
    rng = np.random.default_rng(seed)
    world = OccupancyMap(CONFIG)
    report = GhostReport()
    last_covered = np.full((GRID.size[0] + frames, *GRID.size[1:]), -np.inf)
    for index in range(frames):
        time_s = index * PERIOD_S
        static, moving = scene(index, time_s)
        labels = np.where(moving > 0, moving, static)
        pose = np.eye(4)
        pose[0, 3] = index * GRID.resolution
        prediction = predicted(labels, moving, rng, round(time_s * 1e9))
        world.integrate(prediction, pose)
        snapshot = world.snapshot()
        assert snapshot is not None
        shown = resample(snapshot, GRID, pose).labels
        # the smear of an object belongs to it
        near = cv2.dilate((moving > 0).view(np.uint8).reshape(-1, GRID.size[2]), np.ones((1, 3), np.uint8)) > 0
        here = last_covered[index : index + GRID.size[0]]
        here[near.reshape(moving.shape)] = time_s
        left = np.isfinite(here) & (here <= time_s - LIMIT_S) & (labels == EMPTY)
        report.left += int(left.sum())
        report.ghosts += int((left & (shown != EMPTY) & (shown != UNKNOWN)).sum())
        visible = (moving > 0) & (prediction.visibility == int(Visibility.SEEN))
        if visible.any():
            report.shown.append(float(((shown[visible] != EMPTY) & (shown[visible] != UNKNOWN)).mean()))
    return report


def scene(index: int, time_s: float) -> tuple[Labels, Labels]:
    """Return the labels of the static scene and of the moving objects on the grid of a frame, 0 = free."""
    static, moving = np.zeros(GRID.size, np.uint8), np.zeros(GRID.size, np.uint8)
    static[:, :, 0] = SEMANTIC_KITTI.id_of("road")
    static[:, :4, 1:14] = static[:, -4:, 1:14] = SEMANTIC_KITTI.id_of("building")
    parked = 60 - index
    static[max(0, parked) : max(0, parked + 20), 62:70, 1:8] = SEMANTIC_KITTI.id_of("car")
    offset = np.array([index * GRID.resolution, 0.0, 0.0])
    for mover in MOVERS:
        low = np.array(mover.start) + time_s * np.array((*mover.velocity, 0.0)) - offset - GRID.origin
        first, last = (np.rint(corner / GRID.resolution).astype(int) for corner in (low, low + mover.size))
        box = tuple(slice(max(0, a), max(0, b)) for a, b in zip(first, last, strict=True))
        moving[box] = mover.label
    return static, moving


def predicted(labels: Labels, moving: Labels, rng: np.random.Generator, stamp_ns: int) -> OccupancyPrediction:
    """Return a prediction of these labels with the errors of a network."""
    out = labels.copy()
    smeared = cv2.dilate(moving.reshape(GRID.size[0], -1), np.ones((3, 1), np.uint8)).reshape(GRID.size)
    smeared = np.where((rng.random(GRID.size) < SMEARED) & (labels == EMPTY), smeared, 0)
    out[smeared > 0] = smeared[smeared > 0]
    out[(out > 0) & (moving > 0) & (rng.random(GRID.size) < WRONG_CLASS)] = SEMANTIC_KITTI.id_of("vegetation")
    rays, distance = _rays()
    first = np.full(int(rays.max()) + 1, np.inf)
    occupied = out.reshape(-1) > 0
    np.minimum.at(first, rays[occupied], distance[occupied])
    seen = (distance <= first[rays] + GRID.resolution).reshape(GRID.size)
    out[~seen & (out == EMPTY)] = UNKNOWN
    visibility = np.where(seen, np.uint8(Visibility.SEEN), np.uint8(Visibility.HIDDEN))
    confidence = np.where(out == UNKNOWN, 0, np.where(seen, 220, 150)).astype(np.uint8)
    nothing = np.full((1, 1), np.nan, np.float32)
    return OccupancyPrediction(GRID, out, confidence, visibility, nothing, stamp_ns=stamp_ns)


def _rays() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the ray of the camera through each voxel, and the distance of the voxel, `[X * Y * Z]` each."""
    ray = GRID.centers().reshape(-1, 3) - CAMERA
    azimuth = np.degrees(np.arctan2(ray[:, 1], ray[:, 0])) / RAY_DEG
    elevation = np.degrees(np.arctan2(ray[:, 2], np.hypot(ray[:, 0], ray[:, 1]))) / RAY_DEG
    return ((azimuth + 180).astype(np.int64) * 200 + (elevation + 90).astype(np.int64)), np.linalg.norm(ray, axis=1)
