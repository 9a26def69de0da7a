"""Measurement of height, pitch and roll of the left camera above the ground by stereo matching, and comparison with the
stated pose."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import InputWarning
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.calibration.extrinsics_checks import CameraPose
from occdepth_ros.stereo.ground.estimation import ground_plane
from occdepth_ros.stereo.matching import ImageArray, SemiGlobalMatcher
from occdepth_ros.stereo.occupancy import WORKING_WIDTH

STEEPEST = math.tan(math.radians(35))
"""Largest slope of the ground relative to the stated horizontal plane, metres per metre."""
TOLERANCE = 0.06
"""Largest distance of a supporting point from the plane, metres."""
MAX_DISPARITY = 112
"""Largest disparity that is matched, pixels at working size."""
NEAR, FAR = 0.6, 20.0
"""Smallest matched depth, and largest depth that is used, metres."""
CELL = 0.25
"""Edge of the cells whose lowest points are used, metres."""
MIN_CELLS, MIN_SHARE, MIN_LENGTH = 60, 0.5, 2.0
"""Minimum number of supporting cells, minimum share of the lower half of all cells, and minimum extent along the depth,
metres."""
LIMITS = {True: (2.0, 2.5, 0.3), False: (2.5, 3.5, 0.4)}
"""Differences of pitch, roll (degrees) and height (metres) above which the stated pose is contradicted: for a median of
at least `MIN_MEASUREMENTS` pairs, and for fewer pairs. On KITTI, slopes and the suspension change the median at one
place by up to 1.9 degrees."""
MIN_MEASUREMENTS = 5
PITCH_LIMIT_PLACES = 7
"""Number of places from which `PITCH_LIMIT` applies."""
PITCH_LIMIT = 0.6
"""Limit of the pitch difference for measurements at `PITCH_LIMIT_PLACES`, degrees. The median over 13 places of
KITTI 2015 differs from the stated pitch by 0.28 degrees; over 2 to 5 s of the drives 0005 and 0009 and of sequence 04
by 0.23 to 0.36."""
MIN_FACTOR, MAX_FACTOR = 0.5, 2.0
"""Factors of the baseline that are named as a reason for a height that contradicts the ground: heights are measured in
proportion to the baseline."""
MIN_ABOVE, ABOVE_RATIO = 3, 4
"""Minimum number of pairs with a plane above the camera only, and its ratio to those with a plane below, from which the
images may be upside down."""
GROUND_ABOVE_FLOOR = 0.27
"""Height of the ground above the lower face of the grid in SemanticKITTI, metres, as in the training of the
networks."""


@dataclass(frozen=True)
class GroundPose:
    """Measured pose of the left camera above the ground.

    Args:
        pose: height above the ground, and pitch and roll relative to it.
        up: unit normal of the ground in the left optical frame, `[3]`.
        pairs: number of stereo pairs in the median.
        places: number of places at which the pairs were taken, see `GroundHistory`.
    """

    pose: CameraPose
    up: Matrix
    pairs: int = 1
    places: int = 1


class GroundPoseMeter:
    """Measures the ground plane of single pairs.

    Args:
        rig: the calibrated cameras; the stated pose only limits the direction of the ground.
    """

    def __init__(self, rig: StereoRig) -> None:
        shrink = max(1, round(rig.left.width / WORKING_WIDTH))
        small = rig.scaled(rig.left.width // shrink, rig.left.height // shrink) if shrink > 1 else rig
        self._size = (small.left.width, small.left.height)
        k = small.left.intrinsics
        self._nearest = max(NEAR, float(k[0, 0]) * small.baseline / MAX_DISPARITY)
        self._matcher = SemiGlobalMatcher(small, nearest_m=self._nearest)
        columns, rows = np.meshgrid(np.arange(0, self._size[0], 2), np.arange(0, self._size[1], 2))
        rays = [(columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1], np.ones(columns.shape)]
        self._rays = np.stack(rays, -1)
        self._stated_up: Matrix = rig.left_from_grid[:3, 2]
        self.below = 0
        """Number of measured pairs with a ground plane."""
        self.above = 0
        """Number of measured pairs that show a level plane above the camera and none below."""

    def measure(self, left: ImageArray, right: ImageArray) -> GroundPose | None:
        """Measure one rectified pair, `[H, W, 3]` RGB uint8; None if no ground plane is found."""
        if left.shape[1::-1] != self._size:
            left, right = (
                np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
                for image in (left, right)
            )
        depth = self._matcher.depth(self._matcher.match(left, right))[::2, ::2]
        valid = np.isfinite(depth) & (depth > self._nearest) & (depth < FAR)
        points = np.asarray(self._rays[valid] * depth[valid, None], np.float64)
        found = ground_of_points(points, self._stated_up)
        if found is None:
            self.above += ground_of_points(points, -self._stated_up) is not None
            return None
        self.below += 1
        return _pose(*found, 1)

    def warnings(self, where: str) -> tuple[InputWarning, ...]:
        """Warn if the measured pairs show the ground above the camera.

        Args:
            where: topics or folders of the images.
        """
        if self.above < MIN_ABOVE or self.above <= ABOVE_RATIO * self.below:
            return ()
        text = (
            f"{self.above} pairs show a level plane above the left camera, {self.below} one below: the images are "
            "upside down, or show a ceiling and no ground"
        )
        remedy = "Rotate both images by 180 degrees and exchange left and right, or state the roll of the cameras."
        return (InputWarning("upside_down", text, where, remedy),)


def ground_of_points(
    points: npt.NDArray[np.float64], up: Matrix, steepest: float = STEEPEST
) -> tuple[Matrix, float] | None:
    """Fit the ground: its unit normal in the left camera `[3]` and the camera's height above it, metres; None = none.

    Args:
        points: surface points in the left optical frame, nearer than `FAR`, `[N, 3]`, metres.
        up: stated direction, `[3]`.
        steepest: largest slope of the ground relative to it, metres per metre.
    """
    # the lowest points of sloped cells are biased, so a second iteration uses nearly level cells
    found = _plane(points, up, steepest)
    found = found and _plane(points, found[0], steepest / 4)
    return found if found is not None and found[1] > 0.05 else None


def _plane(points: npt.NDArray[np.float64], up: Matrix, steepest: float) -> tuple[Matrix, float] | None:
    """Fit the ground: its unit normal in the left camera `[3]` and the camera's height above it, metres; None = none.

    Args:
        points: `[N, 3]` in the left optical frame.
        up: direction in which slopes up to `steepest` are searched, `[3]`.
        steepest: metres per metre.
    """
    axis = np.array([0.0, 0, 1]) if abs(up[2]) < 0.95 else np.array([0.0, -1, 0])
    forward = axis - (axis @ up) * up
    forward /= np.linalg.norm(forward)
    level = np.stack([forward, np.cross(up, forward), up])
    lowest = _lowest(points @ level.T)
    if len(lowest) < MIN_CELLS:
        return None
    plane = _refined(lowest, ground_plane(lowest, TOLERANCE, steepest=steepest))
    above = lowest[:, 2] - _height(plane, lowest)
    ground = lowest[np.abs(above) < TOLERANCE]
    low = int((above < 0.5).sum())
    if len(ground) < max(MIN_CELLS, MIN_SHARE * low) or np.ptp(ground[:, 0]) < MIN_LENGTH:
        return None
    normal = np.array([-plane[0], -plane[1], 1.0])
    length = float(np.linalg.norm(normal))
    return np.asarray(level.T @ (normal / length)), -float(plane[2]) / length


def _pose(up: Matrix, height: float, pairs: int) -> GroundPose:
    pitch = math.degrees(math.asin(np.clip(up[2], -1, 1)))
    return GroundPose(CameraPose(height, pitch, math.degrees(math.atan2(-up[0], -up[1]))), up, pairs)


def _signed(angle: float) -> str:
    """Format an angle with its sign, without a negative zero."""
    return f"{round(angle, 1) + 0.0:+.1f}"


def _lowest(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the median of the lower fifth of the points in each cell of the horizontal plane, `[N, 3]`."""
    if len(points) < 100:
        return np.empty((0, 3))
    cell = np.floor(points[:, :2] / CELL).astype(np.int64)
    cell -= cell.min(0)
    key = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    # a radix sort, for 16 bits only, takes a fifth of the time of np.lexsort
    key = key.astype(np.uint16) if key.max() < 2**16 else key
    order = np.argsort(points[:, 2])
    order = order[np.argsort(key[order], kind="stable")]
    points, key = points[order], key[order]
    starts = np.append(0, np.flatnonzero(key[1:] != key[:-1]) + 1)
    counts = np.diff(np.append(starts, len(key)))
    enough = counts >= 4
    return points[starts[enough] + counts[enough] // 10]


def _height(plane: Matrix, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(points[:, :2] @ plane[:2] + plane[2])


def _refined(points: npt.NDArray[np.float64], plane: Matrix) -> Matrix:
    """Fit the plane by least squares to the points near it."""
    for _ in range(3):
        near = np.abs(points[:, 2] - _height(plane, points)) < TOLERANCE
        if near.sum() < 3:
            break
        system = np.column_stack([points[near, :2], np.ones(int(near.sum()))])
        plane = np.asarray(np.linalg.lstsq(system, points[near, 2], rcond=None)[0])
    return plane


def median_pose(measured: Iterable[GroundPose]) -> GroundPose | None:
    """Return the median of several measurements, None without any."""
    poses = list(measured)
    if not poses:
        return None
    up = np.median([pose.up for pose in poses], axis=0)
    return _pose(up / np.linalg.norm(up), float(np.median([pose.pose.height for pose in poses])), len(poses))


def expected_ground(grid: VoxelGrid, is_base: bool) -> tuple[float, float, float]:
    """Return the lowest, the expected and the highest z of the ground in the grid's frame, metres.

    Args:
        grid: the voxels.
        is_base: whether the grid's frame is the base frame of a vehicle, on the ground or up to a wheel radius above
            it; otherwise the ground is expected as in SemanticKITTI.
    """
    if is_base:
        return -0.6, 0.0, 0.15
    ground = grid.origin[2] + GROUND_ABOVE_FLOOR
    return ground - 0.3, ground, ground + 0.3


def check_ground_pose(
    rig: StereoRig, grid: VoxelGrid, measured: GroundPose, *, is_base: bool, where: str, remedy: str
) -> tuple[InputWarning, ...]:
    """Compare the stated pose with the measured one.

    Args:
        rig: the cameras with the stated pose.
        grid: the voxels.
        measured: measured ground.
        is_base: as in `expected_ground`.
        where: origin of the stated pose.
        remedy: how to use the measured pose.
    """
    stated = CameraPose.of(rig.left_from_grid)
    pitch_limit, roll_limit, height_limit = LIMITS[measured.pairs >= MIN_MEASUREMENTS]
    if measured.places >= PITCH_LIMIT_PLACES:
        pitch_limit = PITCH_LIMIT
    differences = []
    if abs(measured.pose.pitch - stated.pitch) > pitch_limit:
        # a shift of the right image is a slope of the ground, in proportion to its disparity per image row
        slope = math.tan(math.radians(abs(measured.pose.pitch - stated.pitch))) * rig.baseline / measured.pose.height
        shift = f"a right image that is shifted by {slope * rig.left.intrinsics[0, 0]:.0f} px looks the same"
        pitches = f"pitch {_signed(measured.pose.pitch)} deg measured, {_signed(stated.pitch)} deg stated"
        differences.append(f"{pitches} ({shift})")
    if abs(measured.pose.roll - stated.roll) > roll_limit:
        differences.append(f"roll {_signed(measured.pose.roll)} deg measured, {_signed(stated.roll)} deg stated")
    warnings = []
    evidence = f"the ground plane of {measured.pairs} stereo pair{'s' if measured.pairs > 1 else ''}"
    if measured.places >= PITCH_LIMIT_PLACES:
        evidence += f" at {measured.places} places"
    if differences:
        text = f"{evidence} contradicts the stated pose of the cameras: {'; '.join(differences)}"
        warnings.append(InputWarning("pose_contradicts_ground", text, where, remedy))
    ground = stated.height - measured.pose.height
    low, expected, high = expected_ground(grid, is_base)
    slack = max(0.0, height_limit - 0.3)
    if not low - slack <= ground <= high + slack:
        text = (
            f"{evidence} lies {measured.pose.height:.2f} m below the left camera, at z = {ground:.2f} m of the frame "
            f"{grid.frame_id!r}, where the stated pose ({stated.height:.2f} m high) is expected to have it at "
            f"{expected:.2f} m"
        )
        factor = (stated.height - expected) / measured.pose.height
        if MIN_FACTOR <= factor <= MAX_FACTOR:
            text += f"; a baseline of {factor * rig.baseline:.3f} m instead of {rig.baseline:.3f} m would agree, too"
        warnings.append(InputWarning("height_contradicts_ground", text, where, remedy))
    return tuple(warnings)


def with_measured_pose(rig: StereoRig, grid: VoxelGrid, measured: GroundPose, *, is_base: bool) -> StereoRig:
    """Return the rig with measured height, pitch and roll; heading and horizontal position stay as stated."""
    grid_from_left = np.linalg.inv(rig.left_from_grid)
    up = grid_from_left[:3, :3] @ measured.up
    axis = np.cross(up, [0.0, 0, 1])
    angle = math.atan2(float(np.linalg.norm(axis)), float(up[2]))
    rotation = cv2.Rodrigues(axis / max(float(np.linalg.norm(axis)), 1e-12) * angle)[0]
    pose = np.eye(4)
    pose[:3, :3] = rotation @ grid_from_left[:3, :3]
    pose[:2, 3] = grid_from_left[:2, 3]
    pose[2, 3] = expected_ground(grid, is_base)[1] + measured.pose.height
    left_from_grid = np.linalg.inv(pose)
    reference = np.linalg.inv(rig.left.from_reference) @ left_from_grid
    return StereoRig(rig.left, rig.right, np.asarray(reference), rig.frame_id)
