"""A furnished box of a room in TartanAir's layout, rendered by arithmetic."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from occdepth_ros.data.tartanair.dataset import INTRINSICS, OPTICAL_FROM_NED

# the NED world: x and y along the floor, z down
ROOM = np.array([[-1.0, 8.0], [-3.0, 3.0], [-1.55, 1.05]])
BLOCK = np.array([[3.5, 4.5], [-0.5, 0.5], [-0.25, 1.05]])
CEILING, FLOOR, WALL, SOFA = 22, 139, 90, 120


def quaternion(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """x, y, z, w of a turn by yaw, pitch, roll, in this order, about z, y, x."""
    cy, sy, cp, sp, cr, sr = (f(a / 2) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    return np.array(
        [
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
            cr * cp * cy + sr * sp * sy,
        ]
    )


def rotation_of(q: np.ndarray) -> np.ndarray:
    """Rotation matrix of a quaternion, by q v q*."""
    v, w = q[:3], q[3]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def render(position: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth along the optical axis and segmentation ids, `[480, 640]`."""
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    rays = np.stack([(u - INTRINSICS[0, 2]) / 320, (v - INTRINSICS[1, 2]) / 320, np.ones(u.shape)], -1)
    rays = rays @ OPTICAL_FROM_NED @ rotation_of(q).T
    with np.errstate(divide="ignore", invalid="ignore"):
        exits = (np.where(rays > 0, ROOM[:, 1], ROOM[:, 0]) - position) / rays
        near, far = ((np.where(rays > 0, BLOCK[:, a], BLOCK[:, 1 - a]) - position) / rays for a in (0, 1))
    exits[~np.isfinite(exits)] = np.inf
    axis = exits.argmin(-1)
    depth = exits.min(-1)
    ids = np.where(axis == 2, np.where(rays[..., 2] > 0, FLOOR, CEILING), WALL)
    enter, leave = np.nanmax(near, -1), np.nanmin(far, -1)
    hit = (enter < leave) & (enter > 0) & (enter < depth)
    return np.where(hit, enter, depth).astype(np.float32), np.where(hit, SOFA, ids).astype(np.uint8)


def room(folder: Path, places: list[tuple[tuple[float, float, float], np.ndarray]], baseline: float = 0.25) -> Path:
    """A trajectory; each place is position and quaternion of the left camera."""
    for part in ("image_left", "image_right", "depth_left", "seg_left"):
        (folder / part).mkdir(parents=True)
    lines: dict[str, list[str]] = {"left": [], "right": []}
    for i, (where, q) in enumerate(places):
        for side, shift in (("left", 0.0), ("right", baseline)):
            position = np.array(where) + rotation_of(q) @ [0, shift, 0]
            depth, ids = render(position, q)
            lines[side].append(" ".join(f"{v:.9f}" for v in (*position, *q)))
            image = np.stack([ids, (depth * 20).astype(np.uint8), ids], -1)
            assert cv2.imwrite(str(folder / f"image_{side}" / f"{i:06d}_{side}.png"), image)
            if side == "left":
                np.save(folder / "depth_left" / f"{i:06d}_left_depth.npy", depth)
                np.save(folder / "seg_left" / f"{i:06d}_left_seg.npy", ids)
    for side, rows in lines.items():
        (folder / f"pose_{side}.txt").write_text("\n".join(rows) + "\n")
    return folder
