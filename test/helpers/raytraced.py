"""Ray-traced views of a textured wall on a textured ground, through lenses of any model, with exact geometry."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, BASELINE = 320, 200, 0.3
WALL, GROUND = 6.0, 1.2
"""Distance of the wall along the level optical axis, and height of the camera above the ground, metres."""

Floats = npt.NDArray[np.float64]


def intrinsics(focal: float = 160.0, cx: float = 159.5, cy: float = 99.5) -> Floats:
    return np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]])


def projection(k: Floats, baseline: float = 0.0) -> Floats:
    """P of a rectified camera, `baseline` metres to the right of the left one."""
    return np.hstack([k, [[-k[0, 0] * baseline], [0], [0]]])


def pinhole_rays(k: Floats, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Floats:
    """Directions of the pixels, `[H, W, 3]`."""
    return lens_rays(k, (), size)


def lens_rays(
    k: Floats, d: tuple[float, ...], size: tuple[int, int] = (WIDTH, HEIGHT), *, fisheye: bool = False
) -> Floats:
    """The same through a lens with distortion."""
    u, v = np.meshgrid(np.arange(size[0], dtype=float), np.arange(size[1], dtype=float))
    pixels = np.stack([u, v], -1).reshape(-1, 1, 2)
    if fisheye:
        plane = cv2.fisheye.undistortPoints(pixels, k, np.array(d))
    else:
        distorted = cv2.undistortPoints(pixels, k, np.zeros(4)).reshape(-1, 2)
        plane = distorted.copy()
        for _ in range(60 if d else 0):
            at = np.hstack([plane, np.ones((len(plane), 1))])
            projected = cv2.projectPoints(at, np.zeros(3), np.zeros(3), np.eye(3), np.array(d))[0]
            plane = plane + distorted - projected.reshape(-1, 2)
    return np.concatenate([plane.reshape(size[1], size[0], 2), np.ones((size[1], size[0], 1))], -1)


def rotated(rays: Floats, *, pitch: float = 0.0, yaw: float = 0.0) -> Floats:
    """Rays of a camera that looks `pitch` degrees down and `yaw` degrees to the right."""
    down = cv2.Rodrigues(np.array([-np.deg2rad(pitch), 0, 0]))[0]
    right = cv2.Rodrigues(np.array([0, np.deg2rad(yaw), 0]))[0]
    return np.asarray(rays @ (right @ down).T)


def view(
    rays: Floats, eye: tuple[float, float, float] = (0.0, 0.0, 0.0), ground: float = GROUND
) -> npt.NDArray[np.uint8]:
    """Image along rays in the level optical frame of the left camera, `[H, W, 3]` RGB."""
    _, y, z = eye
    with np.errstate(divide="ignore", invalid="ignore"):
        to_wall = np.where(rays[..., 2] > 0, (WALL - z) / rays[..., 2], np.inf)
        to_ground = np.where(rays[..., 1] > 0, (ground - y) / rays[..., 1], np.inf)
    on_wall = to_wall < to_ground
    point = np.array(eye) + np.minimum(np.minimum(to_wall, to_ground), 1e3)[..., None] * rays
    u, v = point[..., 0], np.where(on_wall, point[..., 1], point[..., 2] + 40)
    texture = _texture()
    side = len(texture)

    def shade(scale: float) -> npt.NDArray[np.float32]:
        column, row = ((axis * scale % (side - 1)).astype(np.float32) for axis in (u, v))
        return np.asarray(cv2.remap(texture, column, row, cv2.INTER_LINEAR), np.float32)

    grey = np.clip(0.5 * shade(40.0) + 0.5 * shade(13.0), 0, 255)
    return np.repeat(grey[..., None], 3, -1).astype(np.uint8)


def pair(
    rays: Floats, axes: Floats | None = None, ground: float = GROUND
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Left and right image; `axes` are the right camera's x axis, default level."""
    right = np.array([BASELINE, 0, 0]) if axes is None else BASELINE * axes
    return view(rays, ground=ground), view(rays, (float(right[0]), float(right[1]), float(right[2])), ground)


def turned_pair(yaw: float, late: float = 0.0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the images of a robot that looks `yaw` degrees to the right, and `late` degrees less in the right one."""
    rays = pinhole_rays(intrinsics())
    across = BASELINE * np.array([np.cos(np.deg2rad(yaw)), 0.0, -np.sin(np.deg2rad(yaw))])
    return view(rotated(rays, yaw=yaw)), view(rotated(rays, yaw=yaw - late), (float(across[0]), 0.0, float(across[2])))


def _texture() -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(3).uniform(0, 255, (512, 512)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray((smooth - smooth.mean()) * (60 / smooth.std()) + 128, np.float32)
