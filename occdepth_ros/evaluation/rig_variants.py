"""The same scenes seen by other rigs: variants of focal length, pitch, height, and position of the grid.

Every variant changes images, calibration and ground truth consistently, so the scene to complete stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.grid import VoxelGrid

Change = Callable[[SceneExample], SceneExample]

GROUND_Z = -1.73
"""Height of the road in the frame of KITTI's LiDAR, metres; camera heights are relative to it."""

EDGE_TOLERANCE = 0.1
"""Relative excess of a new voxel's edge over an original one up to which it takes the label at its centre."""


@dataclass(frozen=True)
class RigVariant:
    """One variant.

    Args:
        name: name in the table.
        about: description of the change, for the table.
        change: returns the scene as seen by this rig.
    """

    name: str
    about: str
    change: Change


class VariantScenes:
    """The scenes of a data set as recorded by another rig (a `SceneDataset`).

    Args:
        scenes: the original scenes.
        variant: the rig.
    """

    def __init__(self, scenes: SceneDataset, variant: RigVariant) -> None:
        self._scenes, self._variant = scenes, variant

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> SceneExample:
        return self._variant.change(self._scenes[index])


def view_angle(camera: PinholeCamera) -> float:
    """Return the horizontal field of view, degrees."""
    return math.degrees(2 * math.atan(camera.width / 2 / float(camera.projection[0, 0])))


def with_view(example: SceneExample, degrees: float) -> SceneExample:
    """Return the scene with another horizontal field of view and the same image width.

    A narrower view is cropped. For a wider view the image is reduced to its part of the wide image; the rest, which was
    not recorded, is black.
    """
    rig, width = example.rig, example.rig.left.width
    focal = float(rig.left.projection[0, 0])
    if degrees <= view_angle(rig.left):
        cropped = min(width, round(2 * focal * math.tan(math.radians(degrees / 2))))
        x = (width - cropped) // 2
        rig = rig.cropped(cropped, rig.left.height, x, 0)
        window = np.s_[:, x : x + cropped]
        return _with_images(example, rig, example.left[window], example.right[window])
    scale = width / 2 / math.tan(math.radians(degrees / 2)) / focal
    size = round(width * scale), round(rig.left.height * scale)
    x, y = (width - size[0]) // 2, (rig.left.height - size[1]) // 2
    images = []
    for image in (example.left, example.right):
        canvas = np.zeros_like(image)
        canvas[y : y + size[1], x : x + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        images.append(canvas)
    return _with_images(example, rig.scaled(*size).cropped(width, rig.left.height, -x, -y), *images)


def with_pitch(example: SceneExample, degrees: float) -> SceneExample:
    """Return the scene seen by cameras pitched down by `degrees` about the baseline; image rows stay rectified."""
    angle = math.radians(degrees)
    rotation = np.eye(4)
    # pitching the camera down moves points up in its frame, whose y axis points down
    rotation[1:3, 1:3] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    images = []
    for image, camera in ((example.left, example.rig.left), (example.right, example.rig.right)):
        k = camera.intrinsics
        warp = k @ rotation[:3, :3] @ np.linalg.inv(k)
        images.append(cv2.warpPerspective(image, warp, (camera.width, camera.height), flags=cv2.INTER_LINEAR))
    rig = replace(example.rig, reference_from_grid=rotation @ example.rig.reference_from_grid)
    return _with_images(example, rig, *(np.asarray(image, np.uint8) for image in images))


def with_height(example: SceneExample, metres: float) -> SceneExample:
    """Return the scene with the world, including objects, scaled so that the camera is `metres` above the road."""
    rig = example.rig
    camera_z = float(np.linalg.inv(rig.left_from_grid)[2, 3])
    scale = metres / (camera_z - GROUND_Z)
    cameras = []
    for camera in (rig.left, rig.right):
        projection = camera.projection.copy()
        projection[:, 3] *= scale
        cameras.append(PinholeCamera(projection, camera.width, camera.height))
    # the road keeps its height in the grid's frame
    pose = rig.reference_from_grid.copy()
    pose[:3, 3] = scale * (pose[:3, 3] + pose[:3, 2] * GROUND_Z) - pose[:3, 2] * GROUND_Z
    matrix = np.eye(4)
    matrix[:3, :3] /= scale
    matrix[2, 3] = GROUND_Z - GROUND_Z / scale
    rig = StereoRig(cameras[0], cameras[1], pose, rig.frame_id)
    return _resampled(_with_images(example, rig, example.left, example.right), example, matrix)


def on_moved_grid(example: SceneExample, pitch: float = 0.0, up: float = 0.0) -> SceneExample:
    """Return the scene on a grid that is tilted and moved relative to the road.

    Args:
        example: the scene.
        pitch: downward slope of the road in the grid, degrees.
        up: shift of the grid upwards, metres.
    """
    angle = math.radians(pitch)
    pose = np.eye(4)
    pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    # about the road below the vehicle
    pose[:3, 3] = np.array([0, 0, GROUND_Z]) - pose[:3, :3] @ [0, 0, GROUND_Z]
    pose[2, 3] += up
    rig = replace(example.rig, reference_from_grid=example.rig.reference_from_grid @ pose)
    return _resampled(_with_images(example, rig, example.left, example.right), example, pose)


VARIANTS = (
    RigVariant("as recorded", "81 degrees, camera 1.65 m", lambda example: example),
    RigVariant("view 50", "50 degrees: cropped", lambda example: with_view(example, 50)),
    RigVariant("view 65", "65 degrees: cropped", lambda example: with_view(example, 65)),
    RigVariant("view 95", "95 degrees: reduced, borders black", lambda example: with_view(example, 95)),
    RigVariant("view 110", "110 degrees: reduced, borders black", lambda example: with_view(example, 110)),
    RigVariant("pitch +5", "camera 5 degrees down", lambda example: with_pitch(example, 5)),
    RigVariant("pitch -5", "camera 5 degrees up", lambda example: with_pitch(example, -5)),
    RigVariant("height 0.8", "world scaled by 0.48", lambda example: with_height(example, 0.8)),
    RigVariant("height 1.3", "world scaled by 0.79", lambda example: with_height(example, 1.3)),
    RigVariant("height 2.0", "world scaled by 1.21", lambda example: with_height(example, 2.0)),
    RigVariant("road +2", "road rises by 2 degrees in the grid", lambda example: on_moved_grid(example, pitch=-2)),
    RigVariant("road -2", "road falls by 2 degrees in the grid", lambda example: on_moved_grid(example, pitch=2)),
    RigVariant("grid +0.2", "grid 0.2 m higher", lambda example: on_moved_grid(example, up=0.2)),
    RigVariant("grid -0.2", "grid 0.2 m lower", lambda example: on_moved_grid(example, up=-0.2)),
)
"""The variants of the table."""


def _with_images(
    example: SceneExample, rig: StereoRig, left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]
) -> SceneExample:
    """Return the scene with other images and another rig, without depth, pixel labels and earlier pairs."""
    return replace(
        example,
        left=np.ascontiguousarray(left),
        right=np.ascontiguousarray(right),
        rig=rig,
        depth=None,
        semantics=None,
        earlier=None,
        world_from_grid=None,
        history=None,
    )


def _resampled(example: SceneExample, original: SceneExample, original_from_new: Matrix) -> SceneExample:
    """Return the scene with the ground truth resampled to another frame's voxels; unknown outside.

    A voxel that is larger than the original ones takes the nearest occupied label of the original voxels that it
    covers, because sampling at its centre only would lose surfaces of one layer. The lowest layer of SemanticKITTI's
    ground truth is labelled as free, even below the road: its labels are ignored.

    Args:
        example: the scene to change.
        original: the scene with the original ground truth.
        original_from_new: affine map of points, `[4, 4]`, metres.
    """
    grid = example.grid
    labels = original.target.copy()
    labels[..., 0] = UNKNOWN
    samples = math.ceil(float(np.linalg.norm(original_from_new[:3, 0])) - EDGE_TOLERANCE)
    target = np.full(grid.size, UNKNOWN, np.uint8)
    labelled = np.zeros(grid.size, np.uint8)
    seen = None if original.seen is None else np.zeros(grid.size, bool)
    for offset in _offsets(samples):
        index, inside = _original_voxels(grid, original_from_new, offset * grid.resolution)
        sampled = np.full(grid.size, UNKNOWN, np.uint8)
        sampled[inside] = labels[index]
        is_labelled = sampled != UNKNOWN
        labelled += is_labelled
        first = np.isin(target, (EMPTY, UNKNOWN)) & is_labelled & ((sampled != EMPTY) | (target == UNKNOWN))
        target[first] = sampled[first]
        if seen is not None and original.seen is not None:
            seen[inside] |= original.seen[index]
    target[(target == EMPTY) & (2 * labelled < samples**3)] = UNKNOWN
    return replace(example, target=target, seen=seen)


def _offsets(samples: int) -> list[npt.NDArray[np.float64]]:
    """Return offsets from a voxel's centre, `samples` along each axis, in voxel edges, by ascending distance."""
    axis = (np.arange(samples) + 0.5) / samples - 0.5
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return sorted(offsets, key=lambda offset: float(np.abs(offset).sum()))


def _original_voxels(
    grid: VoxelGrid, original_from_new: Matrix, offset: npt.NDArray[np.float64]
) -> tuple[tuple[npt.NDArray[np.int32], ...], npt.NDArray[np.bool_]]:
    """Return indices of the voxels at a grid's mapped centres plus `offset` metres, and a mask of those in the grid."""
    axes = np.meshgrid(
        *((grid.axis_centers(axis) + offset[axis]).astype(np.float32) for axis in range(3)), indexing="ij"
    )
    matrix = original_from_new.astype(np.float32)
    index, inside = [], np.ones(grid.size, bool)
    for row in range(3):
        coordinate = sum(matrix[row, axis] * axes[axis] for axis in range(3)) + matrix[row, 3]
        voxels = (coordinate - np.float32(grid.origin[row])) / np.float32(grid.resolution)
        cell = np.floor(voxels + 1e-3).astype(np.int32)
        inside &= (cell >= 0) & (cell < grid.size[row])
        index.append(cell)
    return tuple(cell[inside] for cell in index), inside
