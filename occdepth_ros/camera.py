"""Rectified cameras and stereo rigs: the projection of points of the grid's frame into the images.

Frames: a camera's frame is optical (x right, y down, z forward; REP-103). The *reference* frame of a rig is
the rectified optical frame from which its projection matrices map: that of the left camera for a ROS CameraInfo pair,
that of camera 0 for KITTI.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import CalibrationError

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PinholeCamera:
    """A rectified, undistorted camera.

    Args:
        projection: P = K [I | t], `[3, 4]`, pixels; from the reference frame, metres, to the image.
        width: image width, pixels.
        height: image height, pixels.

    Raises:
        CalibrationError: P is not finite, a focal length is not positive, or the image size is not positive.
    """

    projection: Matrix
    width: int
    height: int

    def __post_init__(self) -> None:
        p = np.array(self.projection, np.float64)
        if p.shape != (3, 4):
            raise CalibrationError(f"the projection matrix has shape {p.shape}, not (3, 4)", where="P")
        if not np.isfinite(p).all():
            raise CalibrationError(
                "the projection matrix contains NaN or infinity", where="P", remedy="Calibrate the camera again."
            )
        if p[0, 0] <= 0 or p[1, 1] <= 0:
            raise CalibrationError(
                f"the focal lengths ({p[0, 0]:g}, {p[1, 1]:g}) are not positive",
                where="P",
                remedy="An uncalibrated camera publishes zeros: calibrate it, or load its calibration.",
            )
        if abs(p[2, 2] - 1) > 1e-6 or np.abs(p[[1, 2, 2], [0, 0, 1]]).max() > 1e-6:
            raise CalibrationError(
                "the projection matrix is not of the rectified form K [I | t]",
                where="P",
                remedy="Rectify the images, and use the P of the rectified camera.",
            )
        if self.width < 1 or self.height < 1:
            raise CalibrationError(f"the image size {self.width}x{self.height} is empty", where="camera")
        p.setflags(write=False)
        object.__setattr__(self, "projection", p)

    @property
    def intrinsics(self) -> Matrix:
        """K, `[3, 3]`, pixels."""
        return self.projection[:, :3]

    @property
    def translation(self) -> Matrix:
        """t = K^-1 P[:, 3]: origin of the reference frame in this camera's frame, `[3]`, metres."""
        return np.asarray(np.linalg.solve(self.intrinsics, self.projection[:, 3]))

    @property
    def from_reference(self) -> Matrix:
        """Pose of the reference frame in the camera frame, `[4, 4]`."""
        pose = np.eye(4)
        pose[:3, 3] = self.translation
        return pose

    def cropped(self, width: int, height: int, x: int = 0, y: int = 0) -> PinholeCamera:
        """Return the camera of the image cropped to `width` x `height` pixels, with its upper left corner at (x, y)."""
        shift = np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]])
        return PinholeCamera(shift @ self.projection, width, height)

    def scaled(self, width: int, height: int) -> PinholeCamera:
        """Return the camera of the image resized to `width` x `height` pixels (pixel centres at integers)."""
        sx, sy = width / self.width, height / self.height
        scale = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
        return PinholeCamera(scale @ self.projection, width, height)


@dataclass(frozen=True)
class StereoRig:
    """Two rectified cameras and the pose of the voxel grid's frame relative to them.

    Args:
        left, right: the cameras; both projections map from the same reference frame.
        reference_from_grid: pose of the grid's frame in the reference frame, `[4, 4]`.
        frame_id: name of the reference frame.

    Raises:
        CalibrationError: the baseline is not positive (images swapped, or Tx missing), the image sizes or focal
            lengths differ, or the pose is not a rigid transform.
    """

    left: PinholeCamera
    right: PinholeCamera
    reference_from_grid: Matrix
    frame_id: str = "camera_left_optical"

    def __post_init__(self) -> None:
        pose = np.array(self.reference_from_grid, np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise CalibrationError("the grid's pose is not a finite 4x4 matrix", where="extrinsics")
        rotation = pose[:3, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
            raise CalibrationError(
                "the grid's pose is not a rigid transform",
                where="extrinsics",
                remedy="Check Tr of the calibration file, or the TF tree.",
            )
        if (self.left.width, self.left.height) != (self.right.width, self.right.height):
            raise CalibrationError(
                f"the left image is {self.left.width}x{self.left.height} and the right one "
                f"{self.right.width}x{self.right.height}",
                where="stereo calibration",
                remedy="Rectify both images to the same size.",
            )
        if np.abs(self.left.intrinsics - self.right.intrinsics)[:2, :2].max() > 1e-3 * self.left.projection[0, 0]:
            raise CalibrationError(
                "the focal lengths of the two cameras differ",
                where="stereo calibration",
                remedy="Rectify both images with the same focal length.",
            )
        if self.baseline <= 0:
            drop = float(self.right.translation[1] - self.left.translation[1])
            if abs(drop) > 10 * abs(self.baseline):
                raise CalibrationError(
                    f"the right camera is {abs(drop):.3g} m {'above' if drop > 0 else 'below'} the left one and not "
                    f"beside it (P[1,3] of left and right: {self.left.projection[1, 3]:.4g} and "
                    f"{self.right.projection[1, 3]:.4g}): vertical pairs are not supported",
                    where="stereo calibration",
                    remedy="Rotate both images by 90 degrees, and calibrate the pair as left and right.",
                )
            raise CalibrationError(
                f"the baseline is {self.baseline + 0.0:.4f} m, not positive",
                where="stereo calibration",
                remedy="Left and right may be swapped, or P[0,3] = -fx * baseline is missing from the right camera.",
            )
        pose.setflags(write=False)
        object.__setattr__(self, "reference_from_grid", pose)

    @classmethod
    def from_kitti(
        cls, calibration: Mapping[str, Matrix], width: int, height: int, *, left: str = "P2", right: str = "P3"
    ) -> StereoRig:
        """Return the rig of a KITTI odometry sequence; the grid's frame is the LiDAR's.

        Args:
            calibration: `P0`..`P3` and `Tr`, `[3, 4]` or twelve numbers each.
            width, height: image size, pixels.
            left, right: names of the projections to use (P2, P3 colour; P0, P1 grey).

        Raises:
            CalibrationError: an entry is missing or malformed.
        """
        matrices = {}
        for key in (left, right, "Tr"):
            if key not in calibration:
                hint = "The copy of calib.txt in the colour-image archive lacks Tr: take the calibration archive's."
                raise CalibrationError(f"the entry {key} is missing", where="calib.txt", remedy=hint)
            value = np.asarray(calibration[key], np.float64)
            if value.size != 12:
                raise CalibrationError(f"the entry {key} has {value.size} numbers, not 12", where="calib.txt")
            matrices[key] = value.reshape(3, 4)
        pose = np.vstack([matrices["Tr"], [0, 0, 0, 1]])
        return cls(
            PinholeCamera(matrices[left], width, height),
            PinholeCamera(matrices[right], width, height),
            pose,
            frame_id="camera_0",
        )

    @property
    def baseline(self) -> float:
        """Distance of the optical centres along the x axis of the left camera, metres."""
        return float(self.left.translation[0] - self.right.translation[0])

    @property
    def left_from_grid(self) -> Matrix:
        """Pose of the grid's frame in the left optical frame, `[4, 4]`."""
        return self.left.from_reference @ self.reference_from_grid

    @property
    def right_from_grid(self) -> Matrix:
        """Pose of the grid's frame in the right optical frame, `[4, 4]`."""
        return self.right.from_reference @ self.reference_from_grid

    @property
    def disparity_offset(self) -> float:
        """cx of the left minus cx of the right camera, pixels: disparity = fx * baseline / depth + disparity_offset."""
        return float(self.left.projection[0, 2] - self.right.projection[0, 2])

    def referenced_to_left(self, frame_id: str = "camera_left_optical") -> StereoRig:
        """Return this rig with the left optical frame as reference: P_left = K [I | 0], as in CameraInfo."""
        left = self.left.intrinsics @ np.eye(3, 4)
        offset = (self.right.translation - self.left.translation)[:, None]
        right = self.right.intrinsics @ np.hstack([np.eye(3), offset])
        return StereoRig(
            PinholeCamera(left, self.left.width, self.left.height),
            PinholeCamera(right, self.right.width, self.right.height),
            self.left_from_grid,
            frame_id,
        )

    def camera_info_projections(self) -> tuple[Matrix, Matrix]:
        """Return the P of sensor_msgs/CameraInfo of the left and of the right camera, `[3, 4]` each.

        The left P is K [I | 0]; the right P is K [I | t] with t the left camera's origin in the right camera, so that
        P[0,3] = -fx * baseline. CameraInfo does not define a displacement along the optical axis; that of KITTI (about
        1 mm) is omitted.
        """
        referenced = self.referenced_to_left()
        projections = []
        for camera in (referenced.left, referenced.right):
            tx, ty, _ = camera.translation
            projections.append(camera.intrinsics @ np.array([[1.0, 0, 0, tx], [0, 1, 0, ty], [0, 0, 1, 0]]))
        return projections[0], projections[1]

    def cropped(self, width: int, height: int, x: int = 0, y: int = 0) -> StereoRig:
        """Return the rig with both images cropped to the same window, as `PinholeCamera.cropped`."""
        return replace(self, left=self.left.cropped(width, height, x, y), right=self.right.cropped(width, height, x, y))

    def scaled(self, width: int, height: int) -> StereoRig:
        """Return the rig with both images resized, as `PinholeCamera.scaled`."""
        return replace(self, left=self.left.scaled(width, height), right=self.right.scaled(width, height))

    def as_dict(self) -> dict[str, Any]:
        """Return projections `[3, 4]`, pose of the grid `[4, 4]` and image size in pixels, as lists and numbers."""
        return {
            "left_projection": self.left.projection.tolist(),
            "right_projection": self.right.projection.tolist(),
            "reference_from_grid": self.reference_from_grid.tolist(),
            "width": self.left.width,
            "height": self.left.height,
        }

    @property
    def fingerprint(self) -> str:
        """Digest of all calibration values (16 hexadecimal digits), the key of per-calibration caches."""
        numbers = np.concatenate(
            [self.left.projection.ravel(), self.right.projection.ravel(), self.reference_from_grid.ravel()]
        )
        sizes = np.array([self.left.width, self.left.height], np.int64)
        return hashlib.sha256(numbers.tobytes() + sizes.tobytes()).hexdigest()[:16]
