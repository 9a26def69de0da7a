"""From a path to the stereo sequence in it, whatever its layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from occdepth_ros.errors import SourceError
from occdepth_ros.sources.bag import BagSequence, is_bag
from occdepth_ros.sources.base import StereoSource
from occdepth_ros.sources.folder import is_folder, open_folder
from occdepth_ros.sources.kitti_odometry import is_kitti_odometry, open_kitti_odometry
from occdepth_ros.sources.kitti_raw import is_kitti_raw, open_kitti_raw

SAMPLE = "sample"
SAMPLE_FOLDER = Path(__file__).resolve().parent.parent / "data" / "sample"


class Layout(NamedTuple):
    """One way to store a sequence: what it is called, how it is recognised, how it is opened."""

    description: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path], StereoSource]


LAYOUTS = (
    Layout("a KITTI odometry sequence (image_2 and image_3, calib.txt)", is_kitti_odometry, open_kitti_odometry),
    Layout("a KITTI raw drive (image_02/data and image_03/data in its date's folder)", is_kitti_raw, open_kitti_raw),
    Layout("a folder with left, right and calibration.yaml", is_folder, open_folder),
    Layout("a ROS bag (.bag, .mcap, .db3, or a rosbag2 folder with metadata.yaml)", is_bag, BagSequence),
)


def open_source(path: str | Path | None = None) -> StereoSource:
    """Open a recorded stereo sequence.

    Args:
        path: a folder or file in one of `LAYOUTS`; None, "" or "sample" is the sequence bundled with the package.

    Raises:
        SourceError: there is nothing, or no sequence, at the path; the text names the path to give, where it can.
        ImageError, CalibrationError: the sequence is damaged or its calibration unusable.
    """
    if path is None or str(path) in ("", SAMPLE):
        path = SAMPLE_FOLDER
    path = Path(path).expanduser()
    if not path.exists():
        raise SourceError("the path does not exist", where=str(path), remedy="Check the spelling and the mounts.")
    for layout in LAYOUTS:
        if layout.recognises(path):
            return layout.open(path)
    raise SourceError(
        f"no stereo sequence here; looked for {'; '.join(layout.description for layout in LAYOUTS)}",
        where=str(path),
        remedy=_suggestion(path),
    )


def _suggestion(path: Path) -> str:
    """Which path to give instead, when one above or below holds a sequence."""

    def recognised(candidate: Path) -> bool:
        return any(layout.recognises(candidate) for layout in LAYOUTS)

    for parent in list(path.resolve().parents)[:3]:
        if recognised(parent):
            return f"Give the folder above: {parent}"
    if path.is_dir():
        below = [path]
        for _ in range(4):
            below = [child for folder in below[:64] for child in _folders(folder)]
            found = [folder for folder in below if recognised(folder)]
            if found:
                more = f" (or one of {len(found) - 1} more)" if len(found) > 1 else ""
                return f"Give one sequence, such as {found[0]}{more}"
    return "Give the folder that holds the images' folders and the calibration."


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError:
        return []
