"""NYUv2 with completed scenes (Song et al., 2017; Firman et al., 2016), in the layout of the completion benchmarks.

ROOT/NYUtrain, ROOT/NYUtest     795 and 654 scenes; ROOT/depthbin/NYUtrain too
NAME.bin                        float32 origin of the voxels in the room's frame (3), float32 pose of the camera in it
                                (16, row by row), uint32 pairs of raw label and run length: 240x144x240 voxels of
                                0.02 m, axes x, up, y; 0 empty, 1 to 36 classes, 255 unknown
NAME_color.jpg                  640x480
NAME.png                        depth, 16 bits, 1/8000 m; 0 = no depth

The room's frame has z up. Labels are pooled to the grid of the benchmarks: 60x60x36 voxels of 0.08 m, [x, y, up].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.classes import EMPTY, NYU, UNKNOWN
from occdepth_ros.data.checks import Problem
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.data.scans.voxelize import visible_from
from occdepth_ros.data.virtual_view import right_view
from occdepth_ros.errors import CalibrationError, OccDepthError, SourceError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.images import image_size, missing_names, read_image, read_levels

SPLITS = {"train": ("NYUtrain", 795), "test": ("NYUtest", 654)}
"""Folder and number of scenes of each split."""

FINE = (240, 144, 240)
"""Number of voxels in a file along x, up, y."""
FACTOR = 4
RESOLUTION = 0.08
IMAGE = (640, 480)
FOCAL = 518.8579
BASELINE = 0.1
"""Baseline of the virtual camera for networks with two images, metres (OccDepth, RGB-D experiments)."""
DEPTH_UNIT = 1 / 8000
MAX_DEPTH = 10.0
_HEADER = 4 * 19
_REPAIR = "Copy or download the file again."


@dataclass(frozen=True)
class NyuVoxels:
    """Content of a `.bin` file.

    Args:
        labels: `[60, 60, 36]` uint8 class ids along x, y, up.
        grid: grid of the voxels in the room's frame.
        room_from_camera: `[4, 4]` pose of the camera's optical frame in the room's frame, metres.
    """

    labels: npt.NDArray[np.uint8]
    grid: VoxelGrid
    room_from_camera: Matrix


def read_voxels(path: Path) -> NyuVoxels:
    """Read a `.bin` file.

    Raises:
        SourceError: the file is missing or truncated, or its runs or labels are invalid.
        CalibrationError: the camera's pose is not a rigid transform.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"the file cannot be read ({error.strerror})", where=str(path)) from error
    if len(content) < _HEADER or (len(content) - _HEADER) % 8:
        raise SourceError(
            f"the file has {len(content)} bytes, not {_HEADER} plus a multiple of 8", where=str(path), remedy=_REPAIR
        )
    header = np.frombuffer(content, "<f4", 19).astype(np.float64)
    pose = header[3:].reshape(4, 4)
    rigid = np.isfinite(header).all() and np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max() < 1e-2
    if not rigid or np.abs(pose[3] - [0, 0, 0, 1]).max() > 1e-4 or np.linalg.det(pose[:3, :3]) < 0:
        raise CalibrationError("the camera's pose is not a rotation and translation", where=str(path), remedy=_REPAIR)
    value, length = np.frombuffer(content, "<u4", offset=_HEADER).reshape(-1, 2).T
    total = int(length.sum(dtype=np.uint64))
    count = FINE[0] * FINE[1] * FINE[2]
    if total != count:
        raise SourceError(f"the runs hold {total} voxels, not {count}", where=str(path), remedy=_REPAIR)
    is_valid = (value < len(NYU.raw_to_class)) | (value == UNKNOWN)
    if not is_valid.all():
        raise SourceError(f"{value[~is_valid][0]} is not a label of NYUv2", where=str(path), remedy=_REPAIR)
    raw = np.repeat(value.astype(np.uint8), length).reshape(FINE)
    labels = downsample_labels(NYU.from_raw(raw), FACTOR).transpose(0, 2, 1)
    x, y, z = header[:3].tolist()
    return NyuVoxels(
        np.ascontiguousarray(labels), VoxelGrid((x, y, z), (60, 60, 36), RESOLUTION, frame_id="room"), pose
    )


class NyuScenes:
    """Scenes of NYUv2 (a `SceneDataset`). Scenes are `virtual`, and each has its own rig and grid.

    Depth is an input of the network, also at inference. A depth of 0 in the file is converted to NaN, and depths are
    clipped to 10 m.

    Args:
        root: folder with NYUtrain and NYUtest, or the parent of that folder if its name is depthbin.
        split: "train" or "test".

    Raises:
        SourceError: the split does not exist, or files of scenes are missing.
    """

    def __init__(self, root: Path, split: str = "test") -> None:
        self.folder = find_split(root, split)
        self.names = sorted(path.stem for path in self.folder.glob("*.bin"))
        if not self.names:
            raise SourceError("there is no .bin file", where=str(self.folder), remedy="Extract the voxel labels.")
        for pattern in ("{}_color.jpg", "{}.png"):
            lacking = [name for name in self.names if not (self.folder / pattern.format(name)).is_file()]
            if lacking:
                raise SourceError(
                    f"{len(lacking)} of {len(self.names)} scenes have no {pattern.format('NAME')}: "
                    f"{missing_names(lacking)}",
                    where=str(self.folder),
                    remedy="Extract images and depth completely.",
                )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> SceneExample:
        """Read one scene.

        Raises:
            IndexError: `index` is out of range.
            SourceError, ImageError, CalibrationError: a file of the scene is damaged.
        """
        name = self.names[index]
        voxels = read_voxels(self.folder / f"{name}.bin")
        left, _ = read_image(self.folder / f"{name}_color.jpg", IMAGE)
        depth = read_depth(self.folder / f"{name}.png")
        occupied = (voxels.labels != EMPTY) & (voxels.labels != UNKNOWN)
        seen = visible_from(voxels.room_from_camera[:3, 3], occupied, voxels.grid, surfaces=True)
        return SceneExample(
            name,
            left,
            right_view(left, depth, FOCAL * BASELINE),
            nyu_rig(voxels.room_from_camera),
            voxels.grid,
            voxels.labels,
            seen=seen & (voxels.labels != UNKNOWN),
            depth=depth,
            virtual=True,
        )


def nyu_rig(room_from_camera: Matrix) -> StereoRig:
    """Return the rig of the NYUv2 camera and the virtual right camera; the grid's frame is that of the room.

    Args:
        room_from_camera: `[4, 4]`, metres.
    """
    left = np.array([[FOCAL, 0, 320, 0], [0, FOCAL, 240, 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 3] = -FOCAL * BASELINE
    # Orthogonalize the rotation, which is float32 in the file.
    u, _, vt = np.linalg.svd(room_from_camera[:3, :3])
    pose = np.eye(4)
    pose[:3, :3] = (u @ vt).T
    pose[:3, 3] = -pose[:3, :3] @ room_from_camera[:3, 3]
    return StereoRig(PinholeCamera(left, *IMAGE), PinholeCamera(right, *IMAGE), pose)


def read_depth(path: Path) -> npt.NDArray[np.float32]:
    """Return the depth of a scene, `[480, 640]` float32 metres, at most 10 m, NaN for no depth.

    Raises:
        ImageError: the file is damaged, or the size is not 640x480.
    """
    levels = read_levels(path, IMAGE).astype(np.float32)
    return np.where(levels > 0, np.minimum(levels * DEPTH_UNIT, MAX_DEPTH), np.nan).astype(np.float32)


def find_split(root: Path, split: str) -> Path:
    """Return the folder of a split.

    Raises:
        SourceError: the split does not exist, or the folder is missing.
    """
    if split not in SPLITS:
        raise SourceError(f"there is no split {split!r}", where="split", remedy=f"Give {' or '.join(SPLITS)}.")
    name = SPLITS[split][0]
    root = root.expanduser()
    for folder in (root / name, root / "depthbin" / name):
        if folder.is_dir():
            return folder
    raise SourceError(f"there is no folder {name}", where=str(root), remedy=f"Give the folder that contains {name}.")


def check_nyu(root: Path, split: str) -> Iterator[Problem]:
    """Check all files of a split and yield missing, truncated and invalid files.

    Raises:
        SourceError: the split does not exist, or its folder is missing.
    """
    folder = find_split(root, split)
    files = {suffix: {p.name[: -len(suffix)] for p in folder.glob(f"*{suffix}")} for suffix in _CHECKS}
    names = sorted(set.union(*files.values()))
    expected = SPLITS[split][1]
    if len(names) != expected:
        yield Problem(folder, f"there are {len(names)} scenes, not {expected}")
    for suffix, check in _CHECKS.items():
        lacking = [name for name in names if name not in files[suffix]]
        if lacking:
            yield Problem(
                folder, f"{len(lacking)} of {len(names)} scenes have no {suffix} file: {missing_names(lacking)}"
            )
        for name in sorted(files[suffix]):
            path = folder / f"{name}{suffix}"
            try:
                check(path)
            except OccDepthError as error:
                yield Problem(path, error.what)


def _check_color(path: Path) -> None:
    if (size := image_size(path)) != IMAGE:
        raise SourceError(f"the image is {size[0]}x{size[1]}, not 640x480", where=str(path))


_CHECKS = {".bin": read_voxels, "_color.jpg": _check_color, ".png": read_depth}
