"""ROS messages to the nouns of the core: images, cameras, poses. Every refusal is a named error."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Transform
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError, ImageError
from occdepth_ros.nodes.faults import Component, NamedError
from occdepth_ros.sources.encodings import EncodingError, ImageDecoder

ImageArray = npt.NDArray[np.uint8]

_FISHEYE = ("equidistant", "fisheye")


def image_of(message: Image, where: str, decoder: ImageDecoder | None = None) -> ImageArray:
    """Decode an image of any of `sources.encodings.ENCODINGS` to `[H, W, 3]` RGB uint8.

    Args:
        message: the image.
        where: topic, for messages.
        decoder: keeps the range of 16-bit samples over the images of a pair of cameras; None = that of this image.

    Raises:
        NamedError: "image_data" for inconsistent sizes, "image_encoding" for an encoding that is not supported.
    """
    try:
        return (decoder or ImageDecoder())(message, where)[0]
    except ImageError as error:
        name = "image_encoding" if isinstance(error, EncodingError) else "image_data"
        raise NamedError(name, Component.INPUT, error.what, where=error.where, remedy=error.remedy) from error


def camera_of(info: CameraInfo, where: str) -> PinholeCamera:
    """The rectified camera of a CameraInfo: its P, for the image that binning and region of interest leave.

    Raises:
        NamedError: "intrinsics": NaN, zeros, or no image size.
    """
    try:
        camera = PinholeCamera(np.asarray(info.p, np.float64).reshape(3, 4), int(info.width), int(info.height))
        window = info.roi
        if window.width and window.height:
            camera = camera.cropped(int(window.width), int(window.height), int(window.x_offset), int(window.y_offset))
        bin_x, bin_y = max(1, int(info.binning_x)), max(1, int(info.binning_y))
        if bin_x > 1 or bin_y > 1:
            camera = camera.scaled(camera.width // bin_x, camera.height // bin_y)
    except CalibrationError as error:
        raise NamedError("intrinsics", Component.CALIBRATION, error.what, where=where, remedy=error.remedy) from error
    return camera


def rig_of(left: PinholeCamera, right: PinholeCamera, left_from_grid: Matrix, frame_id: str) -> StereoRig:
    """The rig of two cameras whose grid's pose is given in the left optical frame.

    A left P with its own Tx (KITTI's camera 2 counts from camera 0) is shifted to the left camera first, because
    TF knows the camera by its own frame.

    Raises:
        NamedError: "baseline" for a baseline that is not positive, "calibration" for cameras that do not match.
    """
    baseline = float(left.translation[0] - right.translation[0])
    if baseline <= 0:
        raise NamedError(
            "baseline",
            Component.CALIBRATION,
            f"the baseline is {baseline:.4f} m, not positive",
            where="right/camera_info P[0,3]",
            remedy="Left and right may be swapped, or P[0,3] = -fx * baseline is missing from the right camera.",
        )
    try:
        # only the cameras matter to the shift; the pose is set relative to the left camera afterwards
        shifted = StereoRig(left, right, np.eye(4), frame_id).referenced_to_left(frame_id)
        return StereoRig(shifted.left, shifted.right, left_from_grid, frame_id)
    except CalibrationError as error:
        raise NamedError(
            "calibration", Component.CALIBRATION, error.what, where=error.where, remedy=error.remedy
        ) from error


class Rectifier:
    """Undistorts and rectifies raw images of one camera by its K, D, R and P.

    Raises:
        NamedError: "intrinsics": K is unusable, or the distortion model is unknown.
    """

    def __init__(self, info: CameraInfo, where: str) -> None:
        k = np.asarray(info.k, np.float64).reshape(3, 3)
        rotation = np.asarray(info.r, np.float64).reshape(3, 3)
        projection = np.asarray(info.p, np.float64).reshape(3, 4)[:, :3]
        distortion = np.asarray(info.d, np.float64)
        size = (int(info.width), int(info.height))
        numbers = (k, rotation, projection, distortion)
        if not all(np.isfinite(m).all() for m in numbers) or k[0, 0] <= 0 or k[1, 1] <= 0 or min(size) < 1:
            raise NamedError(
                "intrinsics",
                Component.CALIBRATION,
                "K, D, R or P hold NaN, or the focal lengths of K are not positive",
                where=where,
                remedy="Calibrate the camera, or set rectify to false for images that are rectified.",
            )
        if not rotation.any():
            rotation = np.eye(3)
        try:
            if info.distortion_model in _FISHEYE:
                maps = cv2.fisheye.initUndistortRectifyMap(k, distortion[:4], rotation, projection, size, cv2.CV_16SC2)
            else:
                maps = cv2.initUndistortRectifyMap(k, distortion, rotation, projection, size, cv2.CV_16SC2)
        except cv2.error as error:
            raise NamedError(
                "intrinsics",
                Component.CALIBRATION,
                f"the distortion {info.distortion_model!r} with {distortion.size} numbers cannot be used ({error.err})",
                where=where,
                remedy="Use plumb_bob, rational_polynomial or equidistant.",
            ) from error
        self._maps = maps

    def __call__(self, image: ImageArray) -> ImageArray:
        """The rectified image, `[H, W, 3]`, of the same size."""
        return np.asarray(cv2.remap(image, *self._maps, cv2.INTER_LINEAR), np.uint8)


def matrix_of(transform: Transform) -> Matrix:
    """A transform message as `[4, 4]`."""
    q, t = transform.rotation, transform.translation
    return pose_of((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def pose_of(translation: Sequence[float], rotation: Sequence[float]) -> Matrix:
    """`[4, 4]` of a translation, metres, and a rotation: quaternion x, y, z, w, or roll, pitch, yaw, radians.

    Roll, pitch and yaw turn about the fixed axes x, y, z in this order (REP-103).
    """
    pose = np.eye(4)
    pose[:3, 3] = translation
    if len(rotation) == 3:
        (sr, sp, sy), (cr, cp, cy) = np.sin(rotation), np.cos(rotation)
        pose[:3, :3] = [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
        return pose
    x, y, z, w = np.asarray(rotation, np.float64) / np.linalg.norm(rotation)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return pose
