"""Random augmentation of a scene; images, calibration and ground truth stay consistent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torchvision.transforms.v2 import functional as tvf  # type: ignore[import-untyped]

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.data.earlier import EarlierView, PosedPair
from occdepth_ros.data.example import SceneExample
from occdepth_ros.evaluation.alignment import aligned_labels

GRAIN_PIXELS = (2, 4, 8, 16)
"""Scales of `Augmentation.grain`, pixels."""


@dataclass(frozen=True)
class Augmentation:
    """Strength of the augmentation.

    Args:
        mirror: probability of the scene's mirror image, see `mirrored`.
        brightness, contrast, saturation: largest relative change of each, equal for both views.
        gamma: largest logarithm of the exponent of the grey levels, equal for both views.
        tint: largest relative change of each colour channel, equal for both views.
        exposure: largest relative difference between the views.
        noise: largest standard deviation of noise, as a fraction of white; half of the pairs get noise.
        blur: probability that a pair is slightly blurred.
        shade: largest standard deviation of the logarithm of a smooth field of brightness and colour, by which half of
            the pairs are multiplied.
        grain: largest standard deviation of the logarithm of noise of several scales, without colour.
    """

    mirror: float = 0.5
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    gamma: float = 0.0
    tint: float = 0.0
    exposure: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    shade: float = 0.0
    grain: float = 0.0


def jitter(images: torch.Tensor, amount: Augmentation, rng: np.random.Generator) -> torch.Tensor:
    """Change brightness, contrast and saturation in random order by random factors, then simulate camera effects.

    Args:
        images: `[V, 3, H, W]` RGB uint8.
        amount: largest changes; a factor is drawn from 1 - a to 1 + a.
        rng: random generator.

    Returns:
        the same shape and type.
    """
    steps = [
        (tvf.adjust_brightness, amount.brightness),
        (tvf.adjust_contrast, amount.contrast),
        (tvf.adjust_saturation, amount.saturation),
    ]
    for index in rng.permutation(len(steps)):
        change, largest = steps[index]
        if largest > 0:
            images = change(images, rng.uniform(max(0.0, 1 - largest), 1 + largest))
    if max(amount.gamma, amount.tint, amount.exposure, amount.noise) > 0:
        images = _camera_effects(images, amount, rng)
    if max(amount.shade, amount.grain) > 0:
        images = _uneven(images, amount, rng)
    if amount.blur > 0 and rng.random() < amount.blur:
        images = tvf.gaussian_blur(images, [3, 3], [rng.uniform(0.3, 0.9)])
    return images


def _camera_effects(images: torch.Tensor, amount: Augmentation, rng: np.random.Generator) -> torch.Tensor:
    """Change gamma, tint and the exposure of each view, and add noise; `[V, 3, H, W]` uint8 in and out."""
    levels = np.linspace(0, 1, 256, dtype=np.float32) ** np.exp(rng.uniform(-amount.gamma, amount.gamma))
    tint = rng.uniform(1 - amount.tint, 1 + amount.tint, 3)
    exposure = rng.uniform(1 - amount.exposure, 1 + amount.exposure, len(images))
    noise = rng.uniform(0, amount.noise) if amount.noise > 0 and rng.random() < 0.5 else 0.0
    out = np.empty(images.shape, np.float32)
    for view, channel in np.ndindex(out.shape[:2]):
        # changing a table of 256 levels is cheaper than changing all pixels
        out[view, channel] = (255 * exposure[view] * tint[channel] * levels)[images[view, channel].numpy()]
    if noise > 0:
        out += rng.standard_normal(out.shape, dtype=np.float32) * np.float32(255 * noise)
    return torch.from_numpy(np.rint(out.clip(0, 255)).astype(np.uint8))


def _uneven(images: torch.Tensor, amount: Augmentation, rng: np.random.Generator) -> torch.Tensor:
    """Multiply smooth fields and noise of several scales, equal for both views; `[V, 3, H, W]` uint8 in and out."""
    height, width = images.shape[-2:]
    logarithm = np.zeros((height, width, 3), np.float32)
    if rng.random() < 0.5:
        coarse = rng.normal(0, amount.shade, (rng.integers(2, 9), rng.integers(2, 15), 3)).astype(np.float32)
        logarithm += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(rng.uniform(0, 1))
    if rng.random() < 0.5:
        for pixels in GRAIN_PIXELS:
            size = height // pixels + 1, width // pixels + 1
            coarse = rng.normal(0, rng.uniform(0, 1) * amount.grain, size).astype(np.float32)
            logarithm += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    factor = torch.from_numpy(np.exp(logarithm)).movedim(2, 0)
    return (images * factor).round().clamp(0, 255).to(torch.uint8)


def mirrored(example: SceneExample, *, swap_views: bool = True) -> SceneExample:
    """Mirror the scene at the x-z plane: y becomes -y.

    The flipped image of the right camera is the image of a left camera in the mirrored world. The views are therefore
    swapped, the baseline stays positive, and stereo matching works unchanged. Published code flips the images of both
    views, keeps their roles and the ground truth, and thereby trains on pairs with a negative baseline.

    Args:
        example: the scene.
        swap_views: False = the left image stays the left image and the right camera moves to its other side; the right
            image is then a copy of the left image, for networks that do not use it.

    Returns:
        the mirrored scene without the pairs before it; with swapped views also without depth and semantics, which
        belong to the former left image.
    """
    rig = example.rig
    left, right = _mirrored(rig.left), _mirrored(rig.right)
    images = example.left[:, ::-1], example.right[:, ::-1]
    depth = None if example.depth is None else np.ascontiguousarray(example.depth[:, ::-1])
    semantics = None if example.semantics is None else np.ascontiguousarray(example.semantics[:, ::-1])
    if swap_views:
        left, right = right, left
        images = images[1], images[0]
        depth = semantics = None
    else:
        moved = left.projection.copy()
        moved[0, 3] -= moved[0, 0] * rig.baseline
        right = replace(left, projection=moved)
        images = images[0], images[0]
    reflection = np.diag([-1.0, 1, 1, 1])
    pose = reflection @ rig.reference_from_grid @ np.diag([1.0, -1, 1, 1])
    earlier = example.earlier
    if earlier is not None:
        # pixel labels belong to the left camera, on either side of the mirrored rig
        earlier = {
            offset: EarlierView(
                np.ascontiguousarray(view.image[:, ::-1]), _mirrored(view.camera), reflection @ view.moved @ reflection
            )
            for offset, view in earlier.items()
        }
    grid = example.grid
    x, y, z = grid.origin
    return replace(
        example,
        left=np.ascontiguousarray(images[0]),
        right=np.ascontiguousarray(images[1]),
        rig=StereoRig(left, right, pose, rig.frame_id),
        grid=replace(grid, origin=(x, -(y + grid.extent[1]), z)),
        target=np.ascontiguousarray(example.target[:, ::-1]),
        seen=None if example.seen is None else np.ascontiguousarray(example.seen[:, ::-1]),
        depth=depth,
        semantics=semantics,
        earlier=earlier,
        world_from_grid=None,
        history=None,
    )


def shifted(example: SceneExample, steps: Sequence[int]) -> SceneExample:
    """Return the scene on a grid that is shifted by whole voxels; voxels outside the former grid are unknown.

    Args:
        example: the scene.
        steps: voxels along x, y, z.
    """
    grid = example.grid
    x, y, z = (o + s * grid.resolution for o, s in zip(grid.origin, steps, strict=True))
    moved = replace(grid, origin=(x, y, z))
    seen = None
    if example.seen is not None:
        seen = aligned_labels(example.seen.astype(np.uint8), grid, moved) == 1
    return replace(example, grid=moved, target=aligned_labels(example.target, grid, moved), seen=seen)


def rotated(example: SceneExample, yaw: float) -> SceneExample:
    """Return the scene on a grid that is rotated about the vertical axis of its frame; images and cameras stay.

    The ground truth is resampled by nearest neighbour; voxels outside are unknown.

    Args:
        example: the scene.
        yaw: angle from the former to the new x axis, radians.
    """
    grid = example.grid
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    x, y = np.meshgrid(grid.axis_centers(0), grid.axis_centers(1), indexing="ij")
    there = np.stack([x, y], -1) @ pose[:2, :2].T
    index = np.floor((there - grid.origin[:2]) / grid.resolution).astype(np.int64)
    inside = ((index >= 0) & (index < grid.size[:2])).all(-1)
    row, column = index[inside].T
    target = np.full_like(example.target, UNKNOWN)
    target[inside] = example.target[row, column]
    seen = None
    if example.seen is not None:
        seen = np.zeros_like(example.seen)
        seen[inside] = example.seen[row, column]
    rig = replace(example.rig, reference_from_grid=example.rig.reference_from_grid @ pose)
    world, history = example.world_from_grid, example.history
    return replace(
        example,
        rig=rig,
        target=target,
        seen=seen,
        world_from_grid=None if world is None else world @ pose,
        history=None if history is None else partial(_rotated_pairs, history, pose),
    )


def _rotated_pairs(history: Callable[[int], Sequence[PosedPair]], pose: Matrix, count: int) -> list[PosedPair]:
    """Return the pairs of a history with the poses of a rotated grid; `pose` is its pose in the former frame."""
    return [replace(pair, world_from_grid=pair.world_from_grid @ pose) for pair in history(count)]


def without_patches(disparity: npt.NDArray[np.int16], rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Remove the matches in one to three rectangles of a disparity map `[H, W]`, as on surfaces without texture."""
    out = disparity.copy()
    height, width = disparity.shape
    for _ in range(int(rng.integers(1, 4))):
        rows, columns = int(height * rng.uniform(0.06, 0.3)), int(width * rng.uniform(0.04, 0.3))
        row, column = int(rng.integers(0, height - rows)), int(rng.integers(0, width - columns))
        out[row : row + rows, column : column + columns] = 0
    return out


def _mirrored(camera: PinholeCamera) -> PinholeCamera:
    """Return the camera that takes the flipped image of a world whose x axis (in the reference frame) is flipped."""
    k = camera.intrinsics.copy()
    k[0, 1] *= -1
    k[0, 2] = camera.width - 1 - k[0, 2]
    translation = camera.translation * [-1, 1, 1]
    return PinholeCamera(k @ np.column_stack([np.eye(3), translation]), camera.width, camera.height)
