"""Converts ROS messages to images, cameras and poses, and times to messages. Invalid messages raise a `NamedError`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Transform
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError, ImageError
from occdepth_ros.nodes.faults import Component, NamedError
from occdepth_ros.rotation import from_quaternion, from_roll_pitch_yaw
from occdepth_ros.sources.encodings import EncodingError, ImageDecoder
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration

ImageArray = npt.NDArray[np.uint8]


def image_of(message: Image, where: str, decoder: ImageDecoder | None = None) -> ImageArray:
    """Decode an image of any of `sources.encodings.ENCODINGS` to `[H, W, 3]` RGB uint8.

    Args:
        message: the image.
        where: topic, for error messages.
        decoder: stores the value range of 16-bit images, shared by both cameras; None = range of this image.

    Raises:
        NamedError: "image_data" for inconsistent sizes, "image_encoding" for an encoding that is not supported.
    """
    try:
        return (decoder or ImageDecoder())(message, where)[0]
    except ImageError as error:
        name = "image_encoding" if isinstance(error, EncodingError) else "image_data"
        raise NamedError(name, Component.INPUT, error.what, where=error.where, remedy=error.remedy) from error


def camera_of(info: CameraInfo, where: str) -> PinholeCamera:
    """Return the rectified camera of a CameraInfo, for the image after binning and region of interest.

    Raises:
        NamedError: "intrinsics" if the CameraInfo contains NaN or zeros, or has no image size.
    """
    try:
        calibration = CameraCalibration.from_message(info, where)
        return calibration.for_image(*calibration.image_size).camera
    except CalibrationError as error:
        raise NamedError("intrinsics", Component.CALIBRATION, error.what, where=where, remedy=error.remedy) from error


def rig_of(left: PinholeCamera, right: PinholeCamera, left_from_grid: Matrix, frame_id: str) -> StereoRig:
    """Return the rig of two cameras.

    If the left P has a Tx (KITTI's camera 2 is relative to camera 0), both cameras are shifted to the left camera,
    because TF refers to the left camera's own frame.

    Args:
        left, right: rectified cameras.
        left_from_grid: `[4, 4]`, from the grid's frame to the left optical frame.
        frame_id: name of the left optical frame.

    Raises:
        NamedError: "baseline" if the baseline is not positive, "calibration" if the cameras do not match.
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
        # the shift affects the cameras only; the pose is relative to the left camera already
        shifted = StereoRig(left, right, np.eye(4), frame_id).referenced_to_left(frame_id)
        return StereoRig(shifted.left, shifted.right, left_from_grid, frame_id)
    except CalibrationError as error:
        raise NamedError(
            "calibration", Component.CALIBRATION, error.what, where=error.where, remedy=error.remedy
        ) from error


def matrix_of(transform: Transform) -> Matrix:
    """Return a transform message as a matrix `[4, 4]`."""
    q, t = transform.rotation, transform.translation
    return pose_of((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def pose_of(translation: Sequence[float], rotation: Sequence[float]) -> Matrix:
    """Return a pose as a matrix `[4, 4]`.

    Args:
        translation: x, y, z, metres.
        rotation: quaternion x, y, z, w, or roll, pitch, yaw in radians about the fixed axes x, y, z in this order
            (REP-103).
    """
    pose = np.eye(4)
    pose[:3, 3] = translation
    pose[:3, :3] = from_roll_pitch_yaw(*rotation) if len(rotation) == 3 else from_quaternion(rotation)
    return pose


def time_message(stamp_ns: int) -> Time:
    """Convert nanoseconds since 1970 to a time message."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)
