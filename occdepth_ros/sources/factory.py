"""Opening of stereo sequences on disk; the layout is recognised automatically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from occdepth_ros.errors import CalibrationError, OccDepthError, SourceError
from occdepth_ros.sources.bags.reader import is_bag, suffix_of
from occdepth_ros.sources.bags.source import BagSequence
from occdepth_ros.sources.base import SourceOptions, StereoSource
from occdepth_ros.sources.layouts.euroc import is_euroc, open_euroc
from occdepth_ros.sources.layouts.folder import is_folder, open_folder
from occdepth_ros.sources.layouts.kitti_360 import is_kitti_360, open_kitti_360
from occdepth_ros.sources.layouts.kitti_odometry import is_kitti_odometry, open_kitti_odometry
from occdepth_ros.sources.layouts.kitti_raw import is_kitti_raw, open_kitti_raw
from occdepth_ros.stereo.calibration.checks import check_calibration
from occdepth_ros.stereo.calibration.extrinsics_checks import check_extrinsics

SAMPLE = "sample"
PACKED = (".zstd", ".zst", ".gz", ".bz2", ".xz", ".zip", ".tar", ".tgz", ".7z")
"""Suffixes of compressed files and archives, which are not read."""
SAMPLE_FOLDER = Path(__file__).resolve().parent.parent / "data" / "sample"


class Layout(NamedTuple):
    """A layout of sequences on disk: its description, and functions that recognise and open it."""

    description: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path], StereoSource]


LAYOUTS = (
    Layout("a KITTI odometry sequence (image_2 and image_3, calib.txt)", is_kitti_odometry, open_kitti_odometry),
    Layout("a KITTI-360 drive (image_00/data_rect and image_01/data_rect)", is_kitti_360, open_kitti_360),
    Layout("a KITTI raw drive (image_02/data and image_03/data in its date's folder)", is_kitti_raw, open_kitti_raw),
    Layout("an ASL or EuRoC sequence (mav0/cam0 and mav0/cam1 with sensor.yaml)", is_euroc, open_euroc),
    Layout("a folder with left, right and calibration.yaml", is_folder, open_folder),
    Layout("a ROS bag (.bag, .mcap, .db3, or a folder with one recording)", is_bag, BagSequence),
)
MAX_TRIED = 8
"""Folders per level that are opened to suggest one."""


def open_source(
    path: str | Path | None = None, options: SourceOptions | None = None, *, check: bool = True
) -> StereoSource:
    """Open a recorded stereo sequence.

    Args:
        path: a folder or file in one of `LAYOUTS`; None, "" or "sample" is the sequence bundled with the package.
        options: topics and grid frame, for bags with several.
        check: call `check_source`.

    Raises:
        SourceError: the path does not exist, may not be read, or contains no sequence; the text suggests a path if one
            was found.
        ImageError: an image is damaged.
        CalibrationError: the calibration is not usable or not plausible.
    """
    if path is None or str(path) in ("", SAMPLE):
        path = SAMPLE_FOLDER
    path = Path(path).expanduser()
    try:
        return _opened(path, options or SourceOptions(), check=check)
    except PermissionError as error:
        raise SourceError(
            "the path cannot be read (permission denied)",
            where=str(error.filename or path),
            remedy="Let this user read files, and read and enter folders: `chmod -R u+rX` by their owner.",
        ) from error


def _opened(path: Path, options: SourceOptions, *, check: bool) -> StereoSource:
    if path.is_symlink() and not path.exists():
        raise SourceError(
            "the symbolic link is broken or circular", where=str(path), remedy="Correct or remove the link."
        )
    if not path.exists():
        raise SourceError("the path does not exist", where=str(path), remedy="Check the spelling and the mounts.")
    for layout in LAYOUTS:
        if layout.recognises(path):
            source = _open(layout, path, options)
            if check:
                check_source(source)
            return source
    raise SourceError(
        f"no stereo sequence here; looked for {'; '.join(layout.description for layout in LAYOUTS)}",
        where=str(path),
        remedy=_suggestion(path),
    )


def _open(layout: Layout, path: Path, options: SourceOptions) -> StereoSource:
    if layout.open is BagSequence:
        return BagSequence(path, options)
    source = layout.open(path)
    if options.of_topics:
        raise SourceError(
            f"the path is {layout.description}, which has no topics",
            where=str(path),
            remedy="Leave out --topics, --left and --right.",
        )
    if options.grid_frame.strip("/") not in ("", source.grid_frame):
        raise SourceError(
            f"the grid frame of this sequence is {source.grid_frame!r}, not {options.grid_frame!r}",
            where=str(path),
            remedy="Leave out --grid-frame, or set grid_frame in calibration.yaml.",
        )
    return source


def check_source(source: StereoSource) -> None:
    """Check the plausibility of the rig, and add the warnings to the description of the source.

    Raises:
        CalibrationError: the calibration or the pose is not plausible.
    """
    where = source.description.images or source.name
    try:
        warnings = (
            *check_calibration(source.rig, where),
            *check_extrinsics(source.rig, source.description.pose or where),
        )
    except CalibrationError as error:
        if source.name in error.where:
            raise
        raise CalibrationError(error.what, where=f"{source.name} {error.where}", remedy=error.remedy) from error
    source.description = source.description.with_warnings(*warnings)


def _suggestion(path: Path) -> str:
    """Return a remedy with the path of a sequence above or below, if there is one."""

    def recognised(candidate: Path) -> bool:
        return any(layout.recognises(candidate) for layout in LAYOUTS)

    if path.is_file() and path.suffix.lower() in PACKED:
        return "Decompress the file first (`zstd -d`, `gunzip`, `unzip` or `tar -xf`), or give its folder."
    for parent in list(path.resolve().parents)[:3]:
        if recognised(parent):
            return f"Give the folder above: {parent}"
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        packed = [file for file in files if file.suffix in PACKED and suffix_of(file.with_suffix(""))]
        if packed:
            return f"Decompress the parts of the recording, such as {packed[0].name}, or copy its metadata.yaml, too."
        bags = [file for file in files if suffix_of(file)]
        if bags:
            return f"Give one recording, such as {bags[0]} (or one of {len(bags) - 1} more)"
        below = [path]
        for _ in range(4):
            below = [child for folder in below[:64] for child in _folders(folder)]
            found = [folder for folder in below if recognised(folder)]
            # a folder of left images alone is recognised, too, so that its error can say what is missing
            usable = next((folder for folder in found[:MAX_TRIED] if _opens(folder)), None)
            if usable is not None:
                more = f" (or one of {len(found) - 1} more)" if len(found) > 1 else ""
                return f"Give one sequence, such as {usable}{more}"
    return "Give the folder that contains the image folders and the calibration."


def _opens(path: Path) -> bool:
    try:
        open_source(path, check=False)
    except OccDepthError:
        return False
    return True


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError:
        return []
