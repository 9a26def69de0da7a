"""ROS messages to the nouns of the core: images, cameras, poses. Every refusal is a named error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Transform
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError, ImageError
from occdepth_ros.nodes.faults import Component, NamedError
from occdepth_ros.sources.encodings import EncodingError, ImageDecoder
from occdepth_ros.stereo.camera_info import CameraCalibration

ImageArray = npt.NDArray[np.uint8]


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
    """Return the rectified camera of a CameraInfo, for the image that binning and region of interest leave.

    Raises:
        NamedError: "intrinsics": NaN, zeros, or no image size.
    """
    try:
        calibration = CameraCalibration.from_message(info, where)
        return calibration.for_image(*calibration.image_size).camera
    except CalibrationError as error:
        raise NamedError("intrinsics", Component.CALIBRATION, error.what, where=where, remedy=error.remedy) from error


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
