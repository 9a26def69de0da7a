"""Writer of rosbag2 recordings with MCAP storage: the topics of the node `replay`, by the package rosbags.

    left/image_rect, right/image_rect    sensor_msgs/Image; or .../compressed, CompressedImage with PNG
    left/camera_info, right/camera_info  sensor_msgs/CameraInfo
    /tf_static                           the cameras in the grid's frame; on /tf if they move
    /tf                                  the grid's frame in `map`, for frames with a pose

Messages are recorded at the stamp of their pair, transforms and calibrations before the images.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import OutputError
from occdepth_ros.rotation import quaternion_of
from occdepth_ros.sources.bags.reader import import_rosbags
from occdepth_ros.sources.base import StereoFrame, StereoSource

SIDES = ("left", "right")
PNG_LEVEL = 3
"""PNG compression level, 0 to 9: higher levels take several times as long and save a few per cent."""


def write_bag(folder: Path, source: StereoSource, frames: Iterable[StereoFrame], *, compressed: bool = False) -> None:
    """Write a recording.

    Args:
        folder: folder of the recording; must not exist.
        source: source of the grid's frame and the calibration.
        frames: frames of the source, by time.
        compressed: whether images are CompressedImage with PNG, which keeps every pixel.

    Raises:
        SourceError: rosbags is not installed, or a frame cannot be read.
        OutputError: the stamps do not fit ROS.
        OSError: the disk is full or not writable.
    """
    messages = _Messages(source)
    with messages.rosbag2.Writer(folder, version=9, storage_plugin=messages.rosbag2.StoragePlugin.MCAP) as writer:
        recording = _Recording(messages, writer)
        began = False
        for frame in frames:
            if not began and frame.rig is None:
                recording.write("/tf_static", messages.transforms(frame.stamp_ns, messages.cameras(source.rig)))
            began = True
            moving = [] if frame.rig is None else messages.cameras(frame.rig)
            if frame.world_from_grid is not None:
                moving.insert(0, (messages.fixed_frame, source.grid_frame, frame.world_from_grid))
            if moving:
                recording.write("/tf", messages.transforms(frame.stamp_ns, moving))
            for side, info in zip(SIDES, messages.camera_infos(frame), strict=True):
                recording.write(f"/{side}/camera_info", info)
            for side, image in zip(SIDES, (frame.left, frame.right), strict=True):
                if compressed:
                    recording.write(f"/{side}/image_rect/compressed", messages.compressed(frame, side, image))
                else:
                    recording.write(f"/{side}/image_rect", messages.image(frame, side, image))


Link = tuple[str, str, Matrix]
"""Parent frame, child frame, and the pose of the child in the parent, `[4, 4]`."""


class _Messages:
    """Message objects of one source."""

    def __init__(self, source: StereoSource) -> None:
        self.rosbag2 = import_rosbags("rosbags.rosbag2")
        self.interfaces = import_rosbags("rosbags.interfaces")
        typesys = import_rosbags("rosbags.typesys")
        self.store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
        self._source = source
        self.fixed_frame = "map" if source.grid_frame != "map" else "world"

    def type(self, name: str) -> Any:
        """Return a message class, such as "std_msgs/msg/Header"."""
        return self.store.types[name]

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        if not 0 <= seconds < 1 << 31:
            raise OutputError(
                f"the time {stamp_ns} ns does not fit a ROS time stamp",
                where=self._source.name,
                remedy="Correct the times of the source.",
            )
        time = self.type("builtin_interfaces/msg/Time")(sec=seconds, nanosec=nanoseconds)
        return self.type("std_msgs/msg/Header")(stamp=time, frame_id=frame_id)

    def image(self, frame: StereoFrame, side: str, image: npt.NDArray[np.uint8]) -> Any:
        pixels = np.ascontiguousarray(image[..., 0] if frame.grey else image)
        return self.type("sensor_msgs/msg/Image")(
            header=self.header(frame.stamp_ns, camera_frame(side)),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding="mono8" if frame.grey else "rgb8",
            is_bigendian=0,
            step=pixels.shape[1] * (1 if frame.grey else 3),
            data=pixels.reshape(-1),
        )

    def compressed(self, frame: StereoFrame, side: str, image: npt.NDArray[np.uint8]) -> Any:
        return self.type("sensor_msgs/msg/CompressedImage")(
            header=self.header(frame.stamp_ns, camera_frame(side)),
            format="mono8; png compressed " if frame.grey else "rgb8; png compressed bgr8",
            data=png_of(image, grey=frame.grey),
        )

    def camera_infos(self, frame: StereoFrame) -> list[Any]:
        region = self.type("sensor_msgs/msg/RegionOfInterest")(
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        rig = frame.rig or self._source.rig
        return [
            self.type("sensor_msgs/msg/CameraInfo")(
                header=self.header(frame.stamp_ns, camera_frame(side)),
                height=rig.left.height,
                width=rig.left.width,
                distortion_model="plumb_bob",
                d=np.zeros(5),
                k=p[:, :3].ravel(),
                r=np.eye(3).ravel(),
                p=p.ravel(),
                binning_x=0,
                binning_y=0,
                roi=region,
            )
            for side, p in zip(SIDES, rig.camera_info_projections(), strict=True)
        ]

    def cameras(self, rig: StereoRig) -> list[Link]:
        """Return the poses of both cameras in the grid's frame."""
        poses = (rig.left_from_grid, rig.right_from_grid)
        return [
            (self._source.grid_frame, camera_frame(side), np.asarray(np.linalg.inv(pose)))
            for side, pose in zip(SIDES, poses, strict=True)
        ]

    def transforms(self, stamp_ns: int, links: list[Link]) -> Any:
        entries = []
        for parent, child, pose in links:
            x, y, z = (float(value) for value in pose[:3, 3])
            quaternion = dict(zip("xyzw", quaternion_of(pose[:3, :3]), strict=True))
            transform = self.type("geometry_msgs/msg/Transform")(
                translation=self.type("geometry_msgs/msg/Vector3")(x=x, y=y, z=z),
                rotation=self.type("geometry_msgs/msg/Quaternion")(**quaternion),
            )
            header = self.header(stamp_ns, parent)
            stamped = self.type("geometry_msgs/msg/TransformStamped")
            entries.append(stamped(header=header, child_frame_id=child, transform=transform))
        return self.type("tf2_msgs/msg/TFMessage")(transforms=entries)


class _Recording:
    """An open recording; a topic is added with its first message."""

    def __init__(self, messages: _Messages, writer: Any) -> None:
        self._messages, self._writer = messages, writer
        self._topics: dict[str, Any] = {}

    def write(self, topic: str, message: Any) -> None:
        """Record a message at the time of its header."""
        kind = message.__msgtype__
        store = self._messages.store
        if topic not in self._topics:
            qos = self._qos(topic)
            self._topics[topic] = self._writer.add_connection(topic, kind, typestore=store, offered_qos_profiles=[qos])
        stamp = (message.transforms[0] if topic.startswith("/tf") else message).header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        self._writer.write(self._topics[topic], stamp_ns, store.serialize_cdr(message, kind))

    def _qos(self, topic: str) -> Any:
        """Return a reliable profile, latched for static transforms: `ros2 bag play` publishes with the recorded
        profile.
        """
        types = self._messages.interfaces
        latched = topic == "/tf_static"
        durability = types.QosDurability.TRANSIENT_LOCAL if latched else types.QosDurability.VOLATILE
        never = types.QosTime(2147483647, 4294967295)
        return types.Qos(
            types.QosHistory.KEEP_LAST,
            1 if latched else 10,
            types.QosReliability.RELIABLE,
            durability,
            never,
            never,
            types.QosLiveliness.AUTOMATIC,
            never,
            False,
        )


def camera_frame(side: str) -> str:
    """Return the optical frame of a camera, as the node `replay` names it."""
    return f"camera_{side}_optical"


def png_of(image: npt.NDArray[np.uint8], *, grey: bool) -> npt.NDArray[np.uint8]:
    """Return an image `[H, W, 3]` RGB as the bytes of a PNG file, `[N]`: its first channel if it is grey."""
    samples = image[..., 0] if grey else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return np.asarray(cv2.imencode(".png", samples, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1], np.uint8)
