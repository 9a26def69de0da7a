"""Voxels in class colours from any viewpoint: a renderer with the painter's algorithm, without a graphics stack.

A voxel grid needs no depth buffer. Along any ray the cell index moves away from the viewpoint on every axis, so that
decreasing Manhattan distance to the viewpoint's cell is an exact back-to-front order. OpenCV fills the faces that face
the viewpoint. The renderer needs neither a display nor OpenGL, and equal inputs give equal pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import ClassTable
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.visualization.canvas import completed_color

ImageArray = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float64]

NEAR = 0.1
SUPERSAMPLING = 2
SUBPIXEL_BITS = 4
EDGE_FROM_PX = 5.0
"""Minimum size of faces with an edge line, output pixels; edges of smaller faces would look like noise."""
SUN = np.array([-0.45, 0.55, 1.0])
SKY_TOP, SKY_BOTTOM = np.array([214.0, 226, 238]), np.array([250.0, 251, 252])

# corners of the face with the normal +axis or -axis, as offsets from the voxel's lower corner
_FACES: tuple[tuple[int, int, tuple[tuple[int, int, int], ...]], ...] = (
    (0, 1, ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1))),
    (0, -1, ((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1))),
    (1, 1, ((0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1))),
    (1, -1, ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1))),
    (2, 1, ((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))),
    (2, -1, ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))),
)


@dataclass(frozen=True)
class Viewpoint:
    """A virtual camera in the grid's frame.

    Args:
        position: position, metres.
        target: the point in the centre of the image, metres.
        view_deg: horizontal angle of view, degrees.
        width, height: image size, pixels.
    """

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    view_deg: float
    width: int
    height: int

    @classmethod
    def behind(cls, rig: StereoRig, grid: VoxelGrid, width: int, height: int) -> Viewpoint:
        """Return a viewpoint behind and above the left camera: 8 m behind and 5 m above for a grid 51.2 m long."""
        pose = np.linalg.inv(rig.left_from_grid)
        camera, forward = pose[:3, 3], pose[:3, 2] * [1, 1, 0]
        forward = forward / max(float(np.linalg.norm(forward)), 1e-9)
        scale = max(grid.extent[:2]) / 51.2
        position = camera + scale * (-8.0 * forward + [0, 0, 5.4])
        target = camera + scale * (12.0 * forward + [0, 0, -1.6])
        return cls((position[0], position[1], position[2]), (target[0], target[1], target[2]), 64.0, width, height)

    @classmethod
    def around(cls, rig: StereoRig, grid: VoxelGrid, width: int, height: int, phase: float) -> Viewpoint:
        """Return a viewpoint on a closed curve behind and above the left camera.

        The viewpoint swings by 30 degrees to both sides of the driving direction and is highest at the ends of the
        swing: 6 to 9 m above the camera and about 11 m behind it for a grid 51.2 m long.

        Args:
            rig, grid, width, height: as in `behind`.
            phase: position on the curve, 0..1; 0 and 1 are the same viewpoint, straight behind.
        """
        pose = np.linalg.inv(rig.left_from_grid)
        camera, forward = pose[:3, 3], pose[:3, 2] * [1, 1, 0]
        forward = forward / max(float(np.linalg.norm(forward)), 1e-9)
        left = np.array([-forward[1], forward[0], 0.0])
        scale = max(grid.extent[:2]) / 51.2
        swing = np.sin(2 * np.pi * (phase % 1.0))
        bearing = np.radians(30.0) * swing
        target = camera + scale * (11.0 * forward + [0, 0, -1.5])
        away = -np.cos(bearing) * forward + np.sin(bearing) * left
        position = target + scale * (22.0 * away + [0, 0, 7.5 + 3.0 * swing**2])
        return cls((position[0], position[1], position[2]), (target[0], target[1], target[2]), 52.0, width, height)

    def project(self, points: Float) -> tuple[Float, Float]:
        """Project points `[..., 3]` to pixels `[..., 2]` and depth `[...]`, metres along the viewing direction."""
        forward = np.subtract(self.target, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right = right / np.linalg.norm(right)
        axes = np.stack([right, np.cross(forward, right), forward])
        local = (points - np.asarray(self.position)) @ axes.T
        focal = self.width / 2 / np.tan(np.radians(self.view_deg) / 2)
        depth = local[..., 2]
        center = np.array([self.width, self.height]) / 2
        return local[..., :2] * (focal / np.maximum(depth, NEAR)[..., None]) + center, depth


def render_voxels(
    labels: npt.NDArray[np.uint8],
    grid: VoxelGrid,
    view: Viewpoint,
    classes: ClassTable,
    *,
    completed: npt.NDArray[np.bool_] | None = None,
    rig: StereoRig | None = None,
) -> ImageArray:
    """Draw the occupied voxels; free and unknown voxels are not drawn.

    Args:
        labels: `[X, Y, Z]` class ids; 0 and 255 are not drawn.
        grid: grid of the labels.
        view: the viewpoint.
        classes: class colours.
        completed: `[X, Y, Z]` mask of voxels to draw in greyer colours.
        rig: cameras; the view frustum of the left one is drawn.

    Returns:
        `[height, width, 3]` RGB.
    """
    scale = SUPERSAMPLING
    ramp = np.linspace(0, 1, view.height * scale)[:, None, None]
    canvas = np.broadcast_to(SKY_TOP + (SKY_BOTTOM - SKY_TOP) * ramp, (view.height * scale, view.width * scale, 3))
    canvas = np.ascontiguousarray(canvas.astype(np.uint8))
    occupied = (labels != 0) & (labels != 255)
    floor = _floor_height(occupied, grid)
    _draw_floor(canvas, grid, view, floor)
    _paint_faces(canvas, labels, occupied, completed, grid, view, classes)
    if rig is not None:
        _draw_camera(canvas, rig, view, depth=max(grid.extent[:2]) / 51.2)
    return cv2.resize(canvas, (view.width, view.height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _floor_height(occupied: npt.NDArray[np.bool_], grid: VoxelGrid) -> float:
    """Return the lower face of the layer that is most often the lowest occupied one, metres."""
    columns = occupied.any(axis=2)
    if not columns.any():
        return grid.origin[2]
    lowest = np.bincount(occupied.argmax(axis=2)[columns], minlength=grid.size[2])
    return grid.origin[2] + grid.resolution * float(lowest.argmax())


def _paint_faces(
    canvas: ImageArray,
    labels: npt.NDArray[np.uint8],
    occupied: npt.NDArray[np.bool_],
    completed: npt.NDArray[np.bool_] | None,
    grid: VoxelGrid,
    view: Viewpoint,
    classes: ClassTable,
) -> None:
    origin, position = np.asarray(grid.origin), np.asarray(view.position)
    own_cell = np.floor((position - origin) / grid.resolution).astype(np.int64)
    padded = np.pad(occupied, 3)
    crowd = _box_mean(padded.astype(np.float32))
    focus = np.linalg.norm(position - view.target)
    quads, colors, order, sizes = [], [], [], []
    for axis, sign, corners in _FACES:
        neighbor = np.roll(padded, -sign, axis)[3:-3, 3:-3, 3:-3]
        cell = np.argwhere(occupied & ~neighbor)
        plane = cell[:, axis] + (sign > 0)
        cell = cell[sign * (position[axis] - (origin[axis] + plane * grid.resolution)) > 0]
        if not len(cell):
            continue
        points = origin + grid.resolution * (cell[:, None, :] + np.array(corners))
        pixels, depth = view.project(points)
        low, high = pixels.min(axis=1), pixels.max(axis=1)
        seen = (depth.min(axis=1) > NEAR) & (high > 0).all(axis=1) & (low < (view.width, view.height)).all(axis=1)
        cell, pixels, depth = cell[seen], pixels[seen], depth[seen]
        light = _shading(cell, axis, sign, padded, crowd)
        color = classes.colors[labels[tuple(cell.T)]].astype(np.float64)
        # saturated colours such as (0, 0, 255) cannot be shaded: blend them with grey first
        color = 0.9 * color + 0.1 * 128
        if completed is not None:
            is_completed = completed[tuple(cell.T)]
            color[is_completed] = completed_color(color[is_completed])
        color *= light[:, None]
        haze = np.clip((depth.mean(axis=1) / focus - 1) / 4, 0, 0.4)[:, None]
        quads.append(pixels)
        colors.append(color * (1 - haze) + SKY_BOTTOM * haze)
        order.append(np.abs(cell - own_cell).sum(axis=1))
        sizes.append((high - low)[seen].max(axis=1))
    if not quads:
        return
    sequence = np.argsort(-np.concatenate(order), kind="stable")
    fixed = SUPERSAMPLING * (1 << SUBPIXEL_BITS)
    corners_px = np.rint(np.concatenate(quads)[sequence] * fixed).astype(np.int32)
    paint = np.clip(np.concatenate(colors)[sequence], 0, 255)
    fill, edge = paint.tolist(), (0.78 * paint).tolist()
    edged = (np.concatenate(sizes)[sequence] >= EDGE_FROM_PX).tolist()
    for quad, inner, outer, line in zip(corners_px, fill, edge, edged, strict=True):
        cv2.fillConvexPoly(canvas, quad, inner, cv2.LINE_8, SUBPIXEL_BITS)
        if line:
            cv2.polylines(canvas, [quad], True, outer, 1, cv2.LINE_AA, SUBPIXEL_BITS)


def _box_mean(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the mean over 5x5x5 cells."""
    flat = cv2.blur(values.reshape(values.shape[0], values.shape[1], -1), (5, 5), borderType=cv2.BORDER_REPLICATE)
    flat = flat.reshape(-1, values.shape[2])
    return cv2.blur(flat, (5, 1), borderType=cv2.BORDER_REPLICATE).reshape(values.shape)  # type: ignore[return-value]


def _shading(
    cell: npt.NDArray[np.int64],
    axis: int,
    sign: int,
    padded: npt.NDArray[np.bool_],
    crowd: npt.NDArray[np.float32],
) -> Float:
    """Return the brightness of faces: sunlight with shadows of other voxels, and ambient light with occlusion."""
    normal = np.zeros(3, np.int64)
    normal[axis] = sign
    sun = SUN / np.linalg.norm(SUN)
    front = cell + 3 + 2 * normal
    sky = 1.0 - 0.9 * np.clip(crowd[tuple(front.T)] - 0.12, 0, 0.5)
    facing = max(float(sun @ normal), 0.0)
    base = {2: 0.80 if sign > 0 else 0.5, 1: 0.70, 0: 0.62}[axis]
    if facing == 0.0:
        return base * sky
    start = cell + 3.5 + 0.51 * normal
    shadow = np.zeros(len(cell), bool)
    limit = np.array(padded.shape)
    for step in np.arange(1.0, 34.0, 0.9):
        at = (start + step * sun).astype(np.int64)
        inside = ((at >= 0) & (at < limit)).all(axis=1)
        at[~inside] = 0
        shadow |= inside & padded[tuple(at.T)]
    return (base + 0.34 * facing * np.where(shadow, 0.25, 1.0)) * sky


def ring_step(extent_m: float) -> float:
    """Return the distance between lines of equal range for a scene of this length, metres."""
    return 10.0 if extent_m > 30 else 5.0 if extent_m > 12 else 1.0


def _draw_floor(canvas: ImageArray, grid: VoxelGrid, view: Viewpoint, height: float) -> None:
    """Draw lines every ten, five or one metres on the ground as a scale."""
    ex, ey, _ = grid.extent
    ox, oy, _ = grid.origin
    step = ring_step(max(ex, ey))
    xs = np.arange(np.ceil(ox / step) * step, ox + ex + 0.01, step)
    ys = np.arange(np.ceil(oy / step) * step, oy + ey + 0.01, step)
    lines = [((x, oy), (x, oy + ey)) for x in xs] + [((ox, y), (ox + ex, y)) for y in ys]
    for start, end in lines:
        along = np.linspace(start, end, 65)
        _draw_line(canvas, view, np.column_stack([along, np.full(65, height)]), (205, 211, 218), 2)


def _draw_camera(canvas: ImageArray, rig: StereoRig, view: Viewpoint, *, depth: float) -> None:
    """Draw the view frustum of the left camera up to `depth` metres."""
    corners = np.array([[0, 0], [rig.left.width, 0], [rig.left.width, rig.left.height], [0, rig.left.height]])
    k = rig.left.intrinsics
    rays = np.column_stack([(corners - k[:2, 2]) / k[[0, 1], [0, 1]], np.ones(4)]) * depth
    pose = np.linalg.inv(rig.left_from_grid)
    base = rays @ pose[:3, :3].T + pose[:3, 3]
    for i in range(4):
        for line in (np.stack([pose[:3, 3], base[i]]), np.stack([base[i], base[(i + 1) % 4]])):
            _draw_line(canvas, view, line, (24, 32, 44), 4)


def _draw_line(canvas: ImageArray, view: Viewpoint, points: Float, color: tuple[int, int, int], thickness: int) -> None:
    pixels, depth = view.project(points)
    fixed = np.rint(pixels * SUPERSAMPLING * (1 << SUBPIXEL_BITS))
    ahead = (depth > NEAR) & (np.abs(fixed) < 1 << 24).all(axis=1)
    fixed = fixed.astype(np.int32)
    for i in np.flatnonzero(ahead[:-1] & ahead[1:]):
        cv2.polylines(canvas, [fixed[i : i + 2]], False, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
