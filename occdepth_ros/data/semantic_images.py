"""Images with class ids per pixel, without voxels: 2-D data for the image network.

The following layouts are supported:

ROOT/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png     Cityscapes as published, with
ROOT/gtFine/SPLIT/CITY/*_gtFine_labelIds.png
ROOT/**/NAME.jpg, NAME.png                        image with 8-bit learning-map ids: 0 = sky, 255 = unknown
ROOT/**/image_2/NAME.jpg, semantic/NAME.png       ids in a sibling folder of the images; if missing:
ROOT/**/pseudo_semantic/NAME.png, pseudo_confidence/NAME.png    ids by another network, its probability times 255
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import ImageError, SourceError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.images import image_size, read_image, read_levels

_IDS = "6:12 7:9 8:11 9:10 10:12 11:13 12:14 13:14 14:14 17:18 18:18 20:19 21:15 22:17 23:0 24:6 25:7 26:1 27:4 28:5"
CITYSCAPES = {int(label): int(own) for label, own in (pair.split(":") for pair in f"{_IDS} 31:5 32:3 33:2".split())}
"""Learning-map id by Cityscapes label id. All other label ids are unknown. The label wall is mapped to fence."""
MIN_CONFIDENCE = 0.6
"""Minimum probability of a label by another network; labels below it are unknown."""
HIGHEST_ID = 19
NOMINAL_FOCAL = 1.1
"""Focal length of the nominal rig, relative to the image width. 2-D losses do not depend on it."""
GRID = VoxelGrid((0.0, -1.6, -1.6), (16, 16, 16), 0.2)
"""Grid of the empty voxel target."""


class SemanticImages:
    """Labelled images as scenes without voxels (a `SceneDataset`). The right image is a copy of the left image.

    Args:
        root: folder in one of the layouts.
        parts: splits of Cityscapes (empty = train), or folders below the root (empty = all).

    Raises:
        SourceError: there are no labelled images.
    """

    def __init__(self, root: Path, parts: Sequence[str] = ()) -> None:
        self._root = root.expanduser()
        if (self._root / "leftImg8bit").is_dir():
            self._pairs = _cityscapes(self._root, parts or ("train",))
            self._ids: npt.NDArray[np.uint8] | None = np.full(256, UNKNOWN, np.uint8)
            self._ids[list(CITYSCAPES)] = list(CITYSCAPES.values())
        else:
            folders = [self._root / part for part in parts] or [self._root]
            self._pairs = [pair for folder in folders for pair in _beside(folder)]
            self._ids = None
        if not self._pairs:
            raise SourceError(
                "there are no images with labels",
                where=str(root),
                remedy="Give the folder with leftImg8bit and gtFine, or one of images with NAME.png next to NAME.jpg.",
            )

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def names(self) -> list[str]:
        """Paths of the images below the root."""
        return [str(image.relative_to(self._root)) for image, _ in self._pairs]

    def __getitem__(self, index: int) -> SceneExample:
        """Read one image and its labels.

        Raises:
            IndexError: `index` is out of range.
            ImageError: a file is damaged, or the labels hold invalid ids.
        """
        path, labels = self._pairs[index]
        size = image_size(path)
        image, _ = read_image(path, size)
        semantics = self._labels(labels, size)
        grid_size = GRID.size
        return SceneExample(
            self.names[index],
            image,
            image,
            nominal_rig(size),
            GRID,
            np.full(grid_size, UNKNOWN, np.uint8),
            semantics=semantics,
            merged_classes=True,
        )

    def _labels(self, path: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        ids = read_levels(path, image_size(path)).astype(np.uint8)
        confidence = path.parent.with_name("pseudo_confidence") / path.name
        if path.parent.name == "pseudo_semantic" and confidence.is_file():
            certain = read_levels(confidence, image_size(confidence))
            ids = np.where(certain >= 255 * MIN_CONFIDENCE, ids, UNKNOWN).astype(np.uint8)
        if self._ids is not None:
            ids = self._ids[ids]
        if ((ids > HIGHEST_ID) & (ids != UNKNOWN)).any():
            raise ImageError(
                f"the image holds the id {ids[ids != UNKNOWN].max()}",
                where=str(path),
                remedy=f"Give learning-map ids: 0 = sky, 1 to {HIGHEST_ID}, 255 = unknown.",
            )
        if ids.shape != size[::-1]:
            ids = np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
        return ids


def nominal_rig(size: tuple[int, int]) -> StereoRig:
    """Return a rig for images of `size` (width, height) without calibration."""
    width, height = size
    k = np.array([[NOMINAL_FOCAL * width, 0, width / 2], [0, NOMINAL_FOCAL * width, height / 2], [0, 0, 1]])
    left = np.hstack([k, np.zeros((3, 1))])
    right = np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)


def _cityscapes(root: Path, splits: Sequence[str]) -> list[tuple[Path, Path]]:
    pairs = []
    for split in splits:
        for image in sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png")):
            name = image.name.replace("_leftImg8bit", "_gtFine_labelIds")
            labels = root / "gtFine" / split / image.parent.name / name
            if not labels.is_file():
                raise SourceError("the labels of an image are missing", where=str(labels), remedy="Extract gtFine.")
            pairs.append((image, labels))
    return pairs


def _beside(folder: Path) -> list[tuple[Path, Path]]:
    pairs = []
    for image in sorted(folder.rglob("*.jp*g")):
        above = image.parent.parent
        candidates = [image.with_suffix(".png")]
        candidates += [above / kind / f"{image.stem}.png" for kind in ("semantic", "pseudo_semantic")]
        found = next((path for path in candidates if path.is_file()), None)
        if found is not None and image.parent.name != "image_3":
            pairs.append((image, found))
    return pairs
