"""A stereo sequence of image files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ImageError, InputWarning, SourceError
from occdepth_ros.sources.base import SceneGroundTruth, SourceDescription, StereoFrame
from occdepth_ros.sources.frame_names import assumed_stamps, frame_order
from occdepth_ros.sources.images import (
    SUFFIXES,
    ImageArray,
    LevelRange,
    exif_orientation,
    header_size,
    list_images,
    missing_names,
    read_image,
)

Value = TypeVar("Value", bound=np.generic)


def no_ground_truth(name: str) -> SceneGroundTruth | None:
    """Return None: the sequence has no ground truth."""
    return None


class PairedImages(NamedTuple):
    """Names of the frames, in order, and their left and right image files."""

    frames: list[str]
    left: list[Path]
    right: list[Path]


@dataclass(eq=False)
class FileSequence:
    """A `StereoSource` over image files; images are read on access and not cached.

    Args:
        name: path given by the user.
        rig: the calibrated cameras.
        grid_frame: name of the frame in which voxel grids are fixed.
        images: one pair of image files per frame.
        stamps_ns: `[N]` times, strictly increasing.
        poses: `[N, 4, 4]` poses of the grid's frame in a fixed frame, None = unknown.
        find_ground_truth: returns the ground truth of a frame name.
        description: origin of images and calibration, and warnings.
        rectifiers: functions that rectify the raw left and right images; None = the images are rectified.

    Raises:
        SourceError: times do not increase.
    """

    name: str
    rig: StereoRig
    grid_frame: str
    images: PairedImages
    stamps_ns: npt.NDArray[np.int64]
    poses: npt.NDArray[np.float64] | None = None
    find_ground_truth: Callable[[str], SceneGroundTruth | None] = field(default=no_ground_truth, repr=False)
    description: SourceDescription = field(default_factory=SourceDescription)
    rectifiers: tuple[Callable[[ImageArray], ImageArray], Callable[[ImageArray], ImageArray]] | None = None

    def __post_init__(self) -> None:
        self._levels = LevelRange()
        steps = np.diff(self.stamps_ns)
        if (steps <= 0).any():
            at = int((steps <= 0).argmax())
            raise SourceError(
                f"the time of frame {self.frames[at + 1]} is not after that of frame {self.frames[at]}",
                where=self.name,
                remedy="Sort the frames by time, or correct the file of times.",
            )
        turned = [
            warning for side in (self.images.left, self.images.right) for warning in orientation_warnings(side[:1])
        ]
        self.description = self.description.with_warnings(*turned)

    @property
    def frames(self) -> list[str]:
        """Frame names, in order."""
        return self.images.frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> StereoFrame:
        """Read one pair from disk.

        Raises:
            IndexError: there is no such frame.
            ImageError: a file is missing, damaged or truncated, or its size differs from that of the calibration.
        """
        size = (self.rig.left.width, self.rig.left.height)
        left, grey = read_image(self.images.left[index], size, self._levels)
        right, right_grey = read_image(self.images.right[index], size, self._levels)
        if self.rectifiers is not None:
            left, right = self.rectifiers[0](left), self.rectifiers[1](right)
        pose = None if self.poses is None else self.poses[index]
        return StereoFrame(self.frames[index], int(self.stamps_ns[index]), left, right, pose, grey=grey and right_grey)

    def ground_truth(self, index: int) -> SceneGroundTruth | None:
        """Return the ground truth of a frame, None if it has none."""
        return self.find_ground_truth(self.frames[index])

    def check_sizes(self, frames: Sequence[int]) -> None:
        """Check the image sizes of frames by the headers of the files; those without a header are not checked.

        Raises:
            ImageError: an image has another size than the calibration; the text names the first ones.
        """
        expected = (self.rig.left.width, self.rig.left.height)
        files = [side[index] for index in frames for side in (self.images.left, self.images.right)]
        wrong = []
        for path in files:
            with suppress(ImageError):  # reported when the frame is read
                if (size := header_size(path)) != expected:
                    wrong.append(f"{path} ({size[0]}x{size[1]})")
        if wrong:
            raise ImageError(
                f"{len(wrong)} of {len(files)} images are not {expected[0]}x{expected[1]}: {missing_names(wrong)}",
                where=self.name,
                remedy="Leave these frames out with --start and --count, or use images of one size.",
            )

    def period_s(self) -> float:
        """Return the median time between frames, seconds; 0.1 for a single frame."""
        return float(np.median(np.diff(self.stamps_ns))) * 1e-9 if len(self) > 1 else 0.1


def orientation_warnings(paths: Sequence[Path]) -> list[InputWarning]:
    """Return a warning for each file whose EXIF orientation differs from that of the stored pixels."""
    return [
        InputWarning(
            "exif_orientation",
            f"the EXIF orientation {orientation} is ignored, because the calibration refers to the stored pixels",
            str(path),
            "Remove the tag from the files, or rotate the images and calibrate them again.",
        )
        for path in paths
        if (orientation := exif_orientation(path)) != 1
    ]


def pair_images(left: Path, right: Path) -> PairedImages:
    """Return the frames in two folders of images, ordered by number.

    Raises:
        SourceError: a folder is missing or without images, or a frame has an image on one side only.
    """
    lefts, rights = _images(left), _images(right)
    for here, images, there, others in ((left, lefts, right, rights), (right, rights, left, lefts)):
        missing = sorted(images.keys() - others.keys())
        if missing:
            raise SourceError(
                f"{len(others)} images, but {len(images)} in {here}; missing: {missing_names(missing)}",
                where=str(there),
                remedy="Copy the missing images, or remove their partners.",
            )
    names = frame_order(lefts)
    return PairedImages(names, [lefts[name] for name in names], [rights[name] for name in names])


def _images(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise SourceError("the folder of images is missing", where=str(folder), remedy="Copy or extract it, too.")
    images = list_images(folder)
    if not images:
        others = Counter(file.suffix for file in folder.iterdir() if file.is_file() and file.name[0] != ".")
        found = "".join(
            f"; it has {count} files {suffix or 'without suffix'}" for suffix, count in others.most_common(1)
        )
        raise SourceError(
            f"the folder has no images ({', '.join(SUFFIXES)}){found}",
            where=str(folder),
            remedy="Convert the images to PNG, or give the folder that contains them.",
        )
    return images


def rows_of_frames(rows: npt.NDArray[Value], names: Sequence[str], path: Path) -> npt.NDArray[Value]:
    """Return the rows of the frames, `[N, ...]`: by number if all names are numbers, else in order.

    Raises:
        SourceError: a frame has no row.
    """
    are_numbers = all(name.isdecimal() and len(name) < 16 for name in names)
    numbers = np.array([int(name) for name in names], np.int64) if are_numbers else np.arange(len(names))
    beyond = numbers >= len(rows)
    if beyond.any():
        name, more = names[int(beyond.argmax())], int(beyond.sum()) - 1
        raise SourceError(
            f"there are {len(rows)} lines, none for frame {name}" + (f" and {more} more" if more else ""),
            where=str(path),
            remedy="Use the file that belongs to these images.",
        )
    return rows[numbers]


def stamps_of_frames(
    read: Callable[[Path], npt.NDArray[np.int64]], names: Sequence[str], path: Path
) -> npt.NDArray[np.int64]:
    """Return the times of the frames, `[N]` nanoseconds, as `read` returns the lines of a file; assumed without a file.

    Raises:
        SourceError: the file is malformed, or a frame has no line.
    """
    return rows_of_frames(read(path), names, path) if path.is_file() else assumed_stamps(names)
