"""A stereo sequence of image files, whatever text files its times and poses came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import SourceError
from occdepth_ros.sources.base import SceneGroundTruth, StereoFrame
from occdepth_ros.sources.images import list_images, missing_names, read_image


def no_ground_truth(name: str) -> SceneGroundTruth | None:
    """The ground truth of a sequence without ground truth."""
    return None


@dataclass(eq=False)
class FileSequence:
    """A `StereoSource` over image files; images are read when a frame is asked for, and not kept.

    Args:
        name: what the user gave.
        rig: the calibrated cameras.
        grid_frame: name of the frame that voxel grids are fixed in.
        frames: frame names, in order.
        left, right: one image file per frame.
        stamps_ns: `[N]` times, strictly increasing.
        poses: `[N, 4, 4]` poses of the grid's frame in a fixed frame, None = not known.
        find_truth: frame name to its ground truth.

    Raises:
        SourceError: there is no frame, or times do not increase.
    """

    name: str
    rig: StereoRig
    grid_frame: str
    frames: Sequence[str]
    left: Sequence[Path]
    right: Sequence[Path]
    stamps_ns: npt.NDArray[np.int64]
    poses: npt.NDArray[np.float64] | None = None
    find_ground_truth: Callable[[str], SceneGroundTruth | None] = field(default=no_ground_truth, repr=False)

    def __post_init__(self) -> None:
        steps = np.diff(self.stamps_ns)
        if (steps <= 0).any():
            at = int((steps <= 0).argmax())
            raise SourceError(
                f"the time of frame {self.frames[at + 1]} is not after that of frame {self.frames[at]}",
                where=self.name,
                remedy="Sort the frames by time, or repair the file of times.",
            )

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> StereoFrame:
        """Read one pair from disk.

        Raises:
            IndexError: there is no such frame.
            ImageError: a file is missing, damaged, cut off, or of another size than the calibration.
        """
        size = (self.rig.left.width, self.rig.left.height)
        left, grey = read_image(self.left[index], size)
        right, right_grey = read_image(self.right[index], size)
        pose = None if self.poses is None else self.poses[index]
        return StereoFrame(self.frames[index], int(self.stamps_ns[index]), left, right, pose, grey=grey and right_grey)

    def ground_truth(self, index: int) -> SceneGroundTruth | None:
        """Ground truth of a frame, None where there is none."""
        return self.find_ground_truth(self.frames[index])

    def period_s(self) -> float:
        """Median time between frames, seconds; 0.1 for a single frame."""
        return float(np.median(np.diff(self.stamps_ns))) * 1e-9 if len(self) > 1 else 0.1


def pair_images(left: Path, right: Path) -> tuple[list[str], list[Path], list[Path]]:
    """Frames that two folders of images hold: names, left files, right files, sorted by name.

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
    names = sorted(lefts)
    return names, [lefts[name] for name in names], [rights[name] for name in names]


def _images(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise SourceError("the folder of images is missing", where=str(folder), remedy="Copy or extract it too.")
    images = list_images(folder)
    if not images:
        raise SourceError("the folder holds no .png or .jpg images", where=str(folder))
    return images


def frame_numbers(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Row of each frame in files with one line per frame: its number where all names are numbers, else its rank."""
    if all(name.isdecimal() and len(name) < 16 for name in names):
        return np.array([int(name) for name in names], np.int64)
    return np.arange(len(names))


def rows_of_frames(rows: npt.NDArray[np.generic], names: Sequence[str], path: Path) -> npt.NDArray[np.generic]:
    """The rows that belong to the frames, `[N, ...]`.

    Raises:
        SourceError: a frame has no row.
    """
    numbers = frame_numbers(names)
    beyond = numbers >= len(rows)
    if beyond.any():
        name = names[int(beyond.argmax())]
        raise SourceError(
            f"there are {len(rows)} lines, none for frame {name} and {int(beyond.sum()) - 1} more",
            where=str(path),
            remedy="Use the file that belongs to these images.",
        )
    return rows[numbers]
