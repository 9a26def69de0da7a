"""ROS 1 and ROS 2 bags with a stereo pair, read without ROS by the package rosbags.

Topics are found by name (`topics.py`), so that bags of kitti2bag (raw and odometry), kitti_to_ros2bag and common
camera drivers open as they are; one of several pairs is chosen by its calibration and by the share of the grid in view
(`rig.py`). The pose of the grid's frame comes from recorded TF, separately for each pair if the cameras move; without
TF a level camera is assumed, with the grid's frame at the left camera.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, ImageError, SourceError
from occdepth_ros.sources.bags.reader import BagReader
from occdepth_ros.sources.bags.rig import ChosenPair, choose_pair
from occdepth_ros.sources.bags.scan import ImagePlace, scan, stamp_of
from occdepth_ros.sources.bags.topics import StereoTopics, canonical, stereo_candidates
from occdepth_ros.sources.base import SceneGroundTruth, SourceDescription, SourceOptions, StereoFrame
from occdepth_ros.sources.encodings import ImageDecoder
from occdepth_ros.sources.images import missing_names
from occdepth_ros.sources.pairing import Pairing, pair_stamps, smallest_difference
from occdepth_ros.stereo.calibration.camera_info import ImageCalibration
from occdepth_ros.stereo.calibration.extrinsics_checks import check_baseline_in_tf
from occdepth_ros.stereo.calibration.rectification import Kind, Rectifier, decide

OTHER_CLOCK_S = 10.0
"""Smallest difference of left and right stamps from which two clocks are assumed, seconds."""


class BagSequence:
    """A `StereoSource` over a bag; closes its files at the end of a `with` block, or when it is no longer referenced.

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
        self._opened = _Opened()
        self._close = weakref.finalize(self, _closed, self._opened, self._thread)
        # at the exit of the interpreter threads no longer accept work, and the system closes the files
        self._close.atexit = False
        try:
            self._thread.submit(self._open, path).result()
        except (SourceError, CalibrationError, ImageError):
            self.close()
            raise
        except Exception as error:  # rosbags, sqlite3 and struct raise different exceptions for damaged files
            self.close()
            raise SourceError(
                f"the bag cannot be read ({error})",
                where=self.name,
                remedy="Check it with `ros2 bag info`, or copy it again.",
            ) from error

    def __enter__(self) -> BagSequence:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files of the bag; its frames can no longer be read."""
        self._close()
        self._thread.shutdown()

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
        """Return None: bags carry no ground truth."""
        return None

    def period_s(self) -> float:
        """Return the median time between frames, seconds; 0.1 for a single frame."""
        stamps = [pair[0].stamp_ns for pair in self._pairs]
        return float(np.median(np.diff(stamps))) * 1e-9 if len(stamps) > 1 else 0.1

    def _open(self, path: Path) -> None:
        self._reader = self._opened.reader = BagReader(path)
        kinds = {connection.topic: connection.msgtype for connection in self._reader.connections}
        candidates = stereo_candidates(kinds, self.name, self._options)
        try:
            scanned = scan(self._reader, kinds, candidates, self.name)
            # rosbags finds no message in a file without an index of messages, which MCAP permits
            is_readable = not scanned.is_empty or not self._reader.recover("no message in the index")
        except Exception:  # rosbags, sqlite3 and the decompressors raise different exceptions for a damaged chunk
            if not self._reader.recover("a chunk is damaged"):
                raise
            is_readable = False
        if not is_readable:
            scanned = scan(self._reader, kinds, candidates, self.name)
        recording, places = scanned.recording, scanned.places
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
            *scanned.warnings(self._topics),
            *recording.tree.warnings,
            *recording.change_warnings(self._topics),
        )
        self._calibrate()
        self.rig = self._rig(self._chosen.pose.at(stamps[0]))
        right = recording.frames.get(self._topics.right, "")
        self.description = self.description.with_warnings(
            *check_baseline_in_tf(self.rig, chosen.pose.right_camera(right, stamps[0]), f"frame {right!r}")
        )

    def _first_images(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return the first two images of one pair that can be decoded, not rectified.

        Raises:
            ImageError: there is no such pair; the error of the first one.
        """
        topics = (self._topics.left, self._topics.right)
        first: ImageError | None = None
        for pair in self._pairs:
            try:
                messages = [self._message(side, place) for side, place in enumerate(pair)]
                left, right = (
                    self._decoder(m, f"{self.name} {topic}")[0] for m, topic in zip(messages, topics, strict=True)
                )
            except ImageError as error:
                first = first or error
                continue
            return left, right
        assert first is not None, "there is at least one pair"
        raise first

    def _calibrate(self) -> None:
        """Adapt the calibrations to the size of the first images, and determine whether these are raw."""
        topics = (self._topics.left, self._topics.right)
        left, right = self._first_images()
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

    def _paired(self, lefts: list[ImagePlace], rights: list[ImagePlace]) -> list[tuple[ImagePlace, ImagePlace]]:
        """Return the pairs of simultaneous images, in order of time; images without a partner are left out."""
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

    def _message(self, side: int, place: ImagePlace) -> Any:
        topic = (self._topics.left, self._topics.right)[side]
        connections = [c for c in self._reader.connections if canonical(c.topic) == topic]
        for connection, _, data in self._reader.messages(connections, place.bag_ns, place.bag_ns + 1):
            if stamp_of(data) in (place.stamp_ns, 0):
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


class _Opened:
    """Resources that a `BagSequence` must close."""

    reader: BagReader | None = None


def _closed(opened: _Opened, thread: ThreadPoolExecutor) -> None:
    """Close the reader in its own thread, and end the thread."""
    if opened.reader is not None:
        thread.submit(opened.reader.close)
    thread.shutdown(wait=False)
