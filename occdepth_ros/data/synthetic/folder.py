"""Synthetic scenes on disk, one compressed npz file each.

`left`, `right`: JPEG bytes, uint8 `[N]`; `labels`: `[X, Y, Z]` uint8; `seen`: packed bits; `depth`: `[H, W]` float16
metres, infinity in the sky; `semantics`: `[H, W]` uint8; `left_projection`, `right_projection`: `[3, 4]` pixels;
`reference_from_grid`: `[4, 4]`; `origin`: `[3]` metres; `resolution`: metres; and for scenes with earlier images
`earlier_offsets`: `[K]` frames, `earlier_moved`: `[K, 4, 4]`, `earlier_0` and so on: JPEG bytes of the left camera.
Names are SPLIT-SEED-INDEX.npz.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.data.earlier import EarlierView
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import OccDepthError, OutputError, SourceError
from occdepth_ros.files import whole_file
from occdepth_ros.grid import VoxelGrid

QUALITY = 95
MAX_BYTES = 1 << 26
"""Maximum size of a scene file, bytes, packed or unpacked."""
MAX_PIXELS = 1 << 23
MAX_EARLIER = 16
_REPAIR = "Generate the scene again with `occdepth synthetic`, or remove the file."


def write_scene(scene: SceneExample, path: Path) -> None:
    """Write a scene; the file appears when it is complete.

    Raises:
        OutputError: the file cannot be written, or the scene has no depth, semantics or `seen`.
    """
    if scene.depth is None or scene.semantics is None or scene.seen is None:
        raise OutputError(
            "the scene has no depth, semantics or seen mask and cannot be stored as a synthetic scene", where=scene.name
        )
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            left=_encoded(scene.left),
            right=_encoded(scene.right),
            labels=scene.target,
            seen=np.packbits(scene.seen),
            depth=scene.depth.astype(np.float16),
            semantics=scene.semantics,
            left_projection=scene.rig.left.projection,
            right_projection=scene.rig.right.projection,
            reference_from_grid=scene.rig.reference_from_grid,
            origin=np.array(scene.grid.origin),
            resolution=np.array(scene.grid.resolution),
            **_packed(scene.earlier),
        )


def read_scene(path: Path) -> SceneExample:
    """Read a scene that `write_scene` wrote; all contents are checked.

    Raises:
        SourceError: the file is missing, damaged, too large, or has other arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise SourceError(f"the file unpacks to more than {MAX_BYTES} bytes", where=str(path), remedy=_REPAIR)
        with np.load(path, allow_pickle=False) as arrays:
            return _scene({key: arrays[key] for key in arrays.files}, path.stem)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise SourceError(f"the scene cannot be read ({error})", where=str(path), remedy=_REPAIR) from error
    except OccDepthError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(error.what, where=str(path), remedy=_REPAIR) from error


class SyntheticFolder:
    """The scenes of a folder, by name.

    Args:
        root: folder that `occdepth synthetic` wrote.
        split: "train" or "test"; None = both.

    Raises:
        SourceError: the folder is missing or has no scene of the split.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        self.root = root
        self.files = sorted(root.glob(f"{split or '*'}-*-*.npz"))
        if not self.files:
            raise SourceError(
                f"there are no scenes ({split or '*'}-SEED-INDEX.npz)",
                where=str(root),
                remedy="Generate scenes: occdepth synthetic --count N --seed S --out DIR.",
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> SceneExample:
        return read_scene(self.files[index])


def _encoded(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    flags = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    # OpenCV before 4.7 always halves the resolution of the colours
    if hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR"):
        flags += [getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR{suffix}") for suffix in ("", "_444")]
    return np.asarray(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1], np.uint8)


def _decoded(content: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[np.uint8]:
    if content.dtype != np.uint8 or content.ndim != 1 or not content.size:
        raise ValueError("an image is not a uint8 vector of bytes")
    bgr = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("an image is damaged")
    if bgr.shape != (height, width, 3):
        raise ValueError(f"an image is {bgr.shape}, not {(height, width, 3)}")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _scene(arrays: dict[str, npt.NDArray[Any]], name: str) -> SceneExample:
    depth, labels = arrays["depth"], arrays["labels"]
    if depth.dtype != np.float16 or depth.ndim != 2 or not 0 < depth.size <= MAX_PIXELS or (depth < 0).any():
        raise ValueError("depth is not an image of float16 metres")
    if labels.dtype != np.uint8 or labels.ndim != 3:
        raise ValueError("labels are not a volume of uint8")
    bad = (labels > 19) & (labels != 255)
    if bad.any():
        raise ValueError(f"unknown class {labels[bad][0]}")
    height, width = depth.shape
    seen = arrays["seen"]
    if seen.dtype != np.uint8 or seen.size != -(-labels.size // 8):
        raise ValueError("seen does not have one bit for each voxel")
    x0, y0, z0 = (float(v) for v in arrays["origin"].ravel())
    x, y, z = (int(n) for n in labels.shape)
    rig = StereoRig(
        PinholeCamera(arrays["left_projection"], width, height),
        PinholeCamera(arrays["right_projection"], width, height),
        arrays["reference_from_grid"],
    )
    return SceneExample(
        name=name,
        left=_decoded(arrays["left"], height, width),
        right=_decoded(arrays["right"], height, width),
        rig=rig,
        grid=VoxelGrid((x0, y0, z0), (x, y, z), float(arrays["resolution"])),
        target=labels,
        seen=np.unpackbits(seen, count=labels.size).reshape(labels.shape).astype(bool),
        depth=depth.astype(np.float32),
        semantics=arrays["semantics"],
        earlier=_earlier(arrays, rig),
    )


def _packed(earlier: Mapping[int, EarlierView] | None) -> dict[str, Any]:
    if earlier is None:
        return {}
    images = {f"earlier_{k}": _encoded(view.image) for k, view in enumerate(earlier.values())}
    moved = np.stack([view.moved for view in earlier.values()])
    return {"earlier_offsets": np.array(list(earlier), np.int32), "earlier_moved": moved, **images}


def _earlier(arrays: dict[str, npt.NDArray[Any]], rig: StereoRig) -> dict[int, EarlierView] | None:
    if "earlier_offsets" not in arrays:
        return None
    offsets, moved = arrays["earlier_offsets"], arrays["earlier_moved"]
    if offsets.dtype != np.int32 or offsets.ndim != 1 or not 0 < len(offsets) <= MAX_EARLIER:
        raise ValueError(f"earlier_offsets is not an int32 vector of 1 to {MAX_EARLIER} offsets")
    if moved.dtype != np.float64 or moved.shape != (len(offsets), 4, 4):
        raise ValueError("earlier_moved is not float64 [K, 4, 4] with one pose for each image")
    size = rig.left.height, rig.left.width
    return {
        int(offset): EarlierView(_decoded(arrays[f"earlier_{k}"], *size), rig.left, moved[k])
        for k, offset in enumerate(offsets)
    }
