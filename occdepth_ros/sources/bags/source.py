"""ROS 1 and ROS 2 bags with a stereo pair, read without ROS by the package rosbags.

Topics are found by name (`topics.py`), so that bags of kitti2bag (raw and odometry), kitti_to_ros2bag and common
camera drivers open as they are; of several pairs one is chosen by its calibration and by what it shows of the grid
(`rig.py`). The pose of the grid's frame comes from recorded TF, for each pair where the cameras move; without TF a
level camera is assumed, with the grid's frame at the left camera.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, ImageError, InputWarning, SourceError
from occdepth_ros.sources.bags.reader import BagReader
from occdepth_ros.sources.bags.rig import ChosenPair, Recording, choose_pair
from occdepth_ros.sources.bags.tf import TransformTree
from occdepth_ros.sources.bags.topics import INFO_TYPE, StereoTopics, canonical, stereo_candidates
from occdepth_ros.sources.base import SceneGroundTruth, SourceDescription, SourceOptions, StereoFrame
from occdepth_ros.sources.encodings import ImageDecoder, size_of
from occdepth_ros.sources.images import missing_names
from occdepth_ros.sources.pairing import Pairing, pair_stamps, smallest_difference
from occdepth_ros.stereo.camera_info import CameraCalibration, ImageCalibration
from occdepth_ros.stereo.rectification import Kind, Rectifier, decide

OTHER_CLOCK_S = 10.0
"""Smallest difference of the stamps of left and right from which two clocks are assumed, seconds."""
JUMP_BACK_NS = 1_000_000_000
"""Backward step of the stamps that is named, nanoseconds."""
STAMP_END = 12
"""End of header.stamp in a serialised message."""
_TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")


@dataclass(frozen=True)
class _Place:
    """Place of an image in the bag, and its size where the header of the message is readable."""

    bag_ns: int
    stamp_ns: int
    size: tuple[int, int] | None
    is_unstamped: bool = False


class BagSequence:
    """A `StereoSource` over a bag.

    Args:
        path: the bag.
        options: names of topics and of the grid's frame.

    Raises:
        SourceError: rosbags is missing, the bag is damaged, or has no stereo pair.
        CalibrationError: the recorded CameraInfo is unusable.
    """

    def __init__(self, path: Path, options: SourceOptions | None = None) -> None:
        self.name = str(path)
        self._decoder = ImageDecoder()
        self.pairing: Pairing
        self._options = options or SourceOptions()
        # sqlite3 allows a connection in one thread only
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bag")
        try:
            self._thread.submit(self._open, path).result()
        except (SourceError, CalibrationError, ImageError):
            raise
        except Exception as error:  # rosbags, sqlite3 and struct each raise their own for damaged files
            raise SourceError(
                f"the bag cannot be read ({error})",
                where=self.name,
                remedy="Check it with `ros2 bag info`, or copy it again.",
            ) from error

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> StereoFrame:
        """Read one pair from the bag.

        Raises:
            IndexError: there is no such frame.
            ImageError: an image is damaged or of another size than the calibration.
        """
        pair = self._pairs[index]
        left, right = self._thread.submit(lambda: [self._message(s, place) for s, place in enumerate(pair)]).result()
        images = [self._image(side, message) for side, message in enumerate((left, right))]
        stamp = pair[0].stamp_ns
        pose = self._tree.pose(self._tree.root(self.grid_frame), self.grid_frame, stamp) if self._has_poses else None
        rig = self._rig(self._chosen.pose.at(stamp)) if self._moves else None
        grey = images[0][1] and images[1][1]
        return StereoFrame(f"{index:06d}", stamp, images[0][0], images[1][0], pose, grey=grey, rig=rig)

    def check_sizes(self, frames: Sequence[int]) -> None:
        """Check the image sizes of frames by the headers of the messages.

        Raises:
            ImageError: an image has another size than the first one; the text names the first ones.
        """
        expected = (self.rig.left.width, self.rig.left.height)
        wrong = [
            f"{side} image of frame {index} ({place.size[0]}x{place.size[1]})"
            for index in frames
            for side, place in zip(("left", "right"), self._pairs[index], strict=True)
            if place.size is not None and place.size != expected
        ]
        if wrong:
            raise ImageError(
                f"{len(wrong)} of {2 * len(frames)} images are not {expected[0]}x{expected[1]}: {missing_names(wrong)}",
                where=self.name,
                remedy="Leave these frames out with --start and --count, or record one image size.",
            )

    def ground_truth(self, index: int) -> SceneGroundTruth | None:
        """None: bags carry no ground truth."""
        return None

    def period_s(self) -> float:
        """Median time between frames, seconds; 0.1 for a single frame."""
        stamps = [pair[0].stamp_ns for pair in self._pairs]
        return float(np.median(np.diff(stamps))) * 1e-9 if len(stamps) > 1 else 0.1

    def _open(self, path: Path) -> None:
        self._reader = BagReader(path)
        kinds = {connection.topic: connection.msgtype for connection in self._reader.connections}
        candidates = stereo_candidates(kinds, self.name, self._options)
        try:
            recording, places = self._scan(kinds, candidates)
        except Exception:  # a damaged chunk: rosbags, sqlite3 and the decompressors each raise their own
            if not self._reader.recover():
                raise
            recording, places = self._scan(kinds, candidates)
        self._chosen: ChosenPair = choose_pair(candidates, recording, self.name, self._options.grid_frame)
        self._topics: StereoTopics = self._chosen.topics
        self._pairs = self._paired(places[self._topics.left], places[self._topics.right])
        self._tree, self.grid_frame = recording.tree, self._chosen.pose.grid_frame
        stamps = [pair[0].stamp_ns for pair in self._pairs]
        self._has_poses = self._tree.moves(self.grid_frame)
        self._moves = self._chosen.pose.moves(stamps)
        chosen = self._chosen
        self.description = SourceDescription(
            f"{self._topics.left} and {self._topics.right}", chosen.choice, chosen.pose.source, chosen.warnings
        ).with_warnings(
            *self._reader.warnings,
            *self.pairing.warnings(f"{self._topics.left}, {self._topics.right}"),
            *chosen.pose.warnings,
            *chosen.pose.gaps(stamps),
            *_clock_warnings(places, self._topics),
            *recording.tree.warnings,
            *recording.change_warnings(self._topics),
        )
        self._calibrate()
        self.rig = self._rig(self._chosen.pose.at(stamps[0]))

    def _calibrate(self) -> None:
        """Adapt the calibrations to the size of the first images, and find out whether these are raw."""
        topics = (self._topics.left, self._topics.right)
        messages = [self._message(side, place) for side, place in enumerate(self._pairs[0])]
        left, right = (self._decoder(m, f"{self.name} {topic}")[0] for m, topic in zip(messages, topics, strict=True))
        infos = self._chosen.infos
        self._adapted: list[ImageCalibration] = [
            info.for_image(image.shape[1], image.shape[0]) for info, image in zip(infos, (left, right), strict=True)
        ]
        decision = decide(infos, (left, right), topics)
        self._rectifiers: list[Rectifier | None] = [None, None]
        if decision.kind is Kind.RAW:
            self._rectifiers = [Rectifier(info, image) for info, image in zip(infos, self._adapted, strict=True)]
        sizes = [warning for adapted in self._adapted for warning in adapted.warnings]
        self.description = self.description.with_warnings(*sizes, *decision.warnings)

    def _rig(self, left_from_grid: Matrix) -> StereoRig:
        left, right = (adapted.camera for adapted in self._adapted)
        try:
            rig = StereoRig(left, right, np.eye(4)).referenced_to_left()
            return StereoRig(rig.left, rig.right, left_from_grid)
        except CalibrationError as error:
            raise CalibrationError(error.what, where=self.name, remedy=error.remedy) from error

    def _scan(self, kinds: dict[str, str], candidates: list[StereoTopics]) -> tuple[Recording, dict[str, list[_Place]]]:
        """One pass over the bag: calibrations, transforms, and where the images of all candidates are."""
        tree = TransformTree()
        infos: dict[str, CameraCalibration] = {}
        failed: dict[str, CalibrationError] = {}
        raw_infos: dict[str, bytes] = {}
        changed: dict[str, int] = {}
        frames: dict[str, str] = {}
        places: dict[str, list[_Place]] = {topic: [] for c in candidates for topic in (c.left, c.right)}
        sides = {topic for c in candidates for topic in (c.left_info, c.right_info)}
        transforms = {topic for topic, kind in kinds.items() if kind in _TF_TYPES}
        wanted = [
            c
            for c in self._reader.connections
            if canonical(c.topic) in places
            or (canonical(c.topic) in sides and kinds[c.topic] == INFO_TYPE)
            or c.topic in transforms
        ]
        for connection, bag_ns, data in self._reader.messages(wanted):
            topic = canonical(connection.topic)
            if topic in places:
                stamp = self._stamp(data)
                message = self._reader.deserialize(data, connection.msgtype)
                places[topic].append(_Place(bag_ns, stamp or bag_ns, size_of(message), stamp == 0))
                frames.setdefault(topic, message.header.frame_id)
            elif connection.topic in transforms:
                for entry in self._reader.deserialize(data, connection.msgtype).transforms:
                    t, q, stamp = entry.transform.translation, entry.transform.rotation, entry.header.stamp
                    row = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
                    tree.add(entry.header.frame_id, entry.child_frame_id, _nanoseconds(stamp), row)
            elif topic in raw_infos:
                # behind the stamp, which differs
                if data[STAMP_END:] != raw_infos[topic] and topic not in changed:
                    changed[topic] = bag_ns
            else:
                raw_infos[topic] = bytes(data[STAMP_END:])
                message = self._reader.deserialize(data, connection.msgtype)
                try:
                    infos[topic] = CameraCalibration.from_message(message, f"{self.name} {topic}")
                except CalibrationError as error:
                    failed[topic] = error
        start = min((place.stamp_ns for found in places.values() for place in found[:1]), default=0)
        return Recording(infos, frames, tree, start, failed, changed), places

    def _paired(self, lefts: list[_Place], rights: list[_Place]) -> list[tuple[_Place, _Place]]:
        """Pairs of one moment, in order of time; images without a partner are left out."""
        pairing = pair_stamps([place.stamp_ns for place in lefts], [place.stamp_ns for place in rights])
        self.pairing = pairing
        if not pairing.pairs:
            sides = [sorted(place.stamp_ns for place in side) for side in (lefts, rights)]
            nearest, remedy = "", "Trigger the cameras together, or correct the stamps."
            if all(sides):
                difference = smallest_difference(*sides) * 1e-9
                nearest = f"; the nearest differ by {1e3 * difference:.1f} ms"
                if difference > OTHER_CLOCK_S:
                    nearest = f"; the nearest differ by {difference:.0f} s: the cameras are stamped by different clocks"
                    remedy = "Stamp both cameras by one clock, or synchronize the clocks (PTP, NTP)."
            raise SourceError(
                f"none of {len(lefts)} left and {len(rights)} right images have stamps within "
                f"{pairing.tolerance_ns * 1e-6:.1f} ms of each other{nearest}",
                where=self.name,
                remedy=remedy,
            )
        return [(lefts[i], rights[j]) for i, j in pairing.pairs]

    def _stamp(self, data: bytes) -> int:
        """header.stamp of a serialised message, nanoseconds: it comes first, behind 4 bytes in CDR and in ROS 1."""
        at = np.frombuffer(data, "<u4", 2, 4)
        return int(at[0]) * 1_000_000_000 + int(at[1])

    def _message(self, side: int, place: _Place) -> Any:
        topic = (self._topics.left, self._topics.right)[side]
        connections = [c for c in self._reader.connections if canonical(c.topic) == topic]
        for connection, _, data in self._reader.messages(connections, place.bag_ns, place.bag_ns + 1):
            if self._stamp(data) in (place.stamp_ns, 0):
                return self._reader.deserialize(data, connection.msgtype)
        raise ImageError("the image has vanished from the bag", where=f"{self.name} {topic}")

    def _image(self, side: int, message: Any) -> tuple[npt.NDArray[np.uint8], bool]:
        topic = (self._topics.left, self._topics.right)[side]
        image, grey = self._decoder(message, f"{self.name} {topic}")
        expected = (self.rig.left.width, self.rig.left.height)
        if image.shape[1::-1] != expected:
            size = image.shape[1::-1]
            raise ImageError(
                f"the image is {size[0]}x{size[1]}, the first one {expected[0]}x{expected[1]}",
                where=f"{self.name} {topic}",
            )
        rectifier = self._rectifiers[side]
        return (rectifier(image) if rectifier else image), grey


def _clock_warnings(places: Mapping[str, Sequence[_Place]], topics: StereoTopics) -> list[InputWarning]:
    """Warn where stamps go back in the order of recording, or where images have no stamp."""
    warnings = []
    for topic in (topics.left, topics.right):
        stamps = np.array([place.stamp_ns for place in places[topic]], np.int64)
        back = np.flatnonzero(np.diff(stamps) < -JUMP_BACK_NS)
        if len(back):
            seconds = float(stamps[back[0]] - stamps[back[0] + 1]) * 1e-9
            text = f"the stamps go back by {seconds:.1f} s behind image {int(back[0])}: pairs are ordered by stamp"
            remedy = "A clock was set, or two recordings were joined: split the bag there."
            warnings.append(InputWarning("clock_jump", text, topic, remedy))
        unstamped = sum(place.is_unstamped for place in places[topic])
        if unstamped:
            text = f"{unstamped} of {len(stamps)} images have no stamp: their times of recording are used"
            remedy = "Configure the driver to stamp its images."
            warnings.append(InputWarning("no_stamp", text, topic, remedy))
    return warnings


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
