"""Teachers of depth: maps of the left image that are made once, kept as files, and distilled in training.

A map is a 16-bit PNG of metres times 256, 0 where there is none, as KITTI stores depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from occdepth_ros.camera import StereoRig
from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.errors import RecipeError, SourceError
from occdepth_ros.files import whole_file
from occdepth_ros.stereo.matching import SemiGlobalMatcher

Depth = npt.NDArray[np.float32]

STEPS_PER_METRE = 256
NEAREST_M = 2.0
"""Depth bins begin here, so nothing nearer is worth matching."""
_RIG = "rig"


class Teacher(Protocol):
    """Makes depth from a stereo pair."""

    def __call__(self, example: SceneExample) -> Depth:
        """Depth of the left image, `[H, W]` float32 metres, NaN where there is none."""


class SemiGlobalTeacher:
    """Semi-global matching at full resolution, what fails its consistency tests left out."""

    def __init__(self) -> None:
        self._matcher: tuple[str, SemiGlobalMatcher] | None = None

    def __call__(self, example: SceneExample) -> Depth:
        """See `Teacher`."""
        matcher = self._matcher_of(example.rig)
        return matcher.depth(matcher.match(example.left, example.right))

    def _matcher_of(self, rig: StereoRig) -> SemiGlobalMatcher:
        if self._matcher is None or self._matcher[0] != rig.fingerprint:
            self._matcher = rig.fingerprint, SemiGlobalMatcher(rig, nearest_m=NEAREST_M)
        return self._matcher[1]


class NetworkTeacher:
    """MobileStereoNet: depth of every pixel of the image, of any size.

    Args:
        name: a key of `occdepth_ros.models.mobilestereonet.depth.NETWORKS`.
        weights: its weights file.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(self, name: str, weights: Path | None) -> None:
        # the other teachers need no torch
        from torch.utils.data import get_worker_info

        from occdepth_ros.models.mobilestereonet.depth import StereoNetDepth

        # CUDA does not survive the fork of a loader's worker; `occdepth depth` makes maps beforehand, on the GPU
        self._depth = StereoNetDepth(name, weights, device="auto" if get_worker_info() is None else "cpu")

    def __call__(self, example: SceneExample) -> Depth:
        """See `Teacher`."""
        return self._depth(example.left, example.right, example.rig, example.grid)


def _semi_global(weights: Path | None) -> Teacher:
    if weights is not None:
        raise RecipeError(
            "semi-global matching has no weights",
            where=str(weights),
            remedy="Leave the weights out, or name a network.",
        )
    return SemiGlobalTeacher()


TEACHERS: dict[str, Callable[[Path | None], Teacher]] = {
    "sgm": _semi_global,
    "mobilestereonet-2d": partial(NetworkTeacher, "mobilestereonet-2d"),
    "mobilestereonet-3d": partial(NetworkTeacher, "mobilestereonet-3d"),
}
"""How each teacher is made from its weights file, by name."""

FROM_DATASET, NONE = "dataset", "none"
CHOICES = (FROM_DATASET, NONE, *TEACHERS)
"""What a recipe may name as the source of depth."""


@dataclass(frozen=True)
class DepthCache:
    """Depth maps of one teacher on disk, made where they are missing.

    Args:
        folder: FOLDER/SCENE.png, SCENE being the scene's name, which may have folders in it.
        name: the teacher's, a key of `TEACHERS`.
        weights: its weights file, where it has one; without, maps that are missing cannot be made.

    Raises:
        RecipeError: there is no such teacher.
    """

    folder: Path
    name: str
    weights: Path | None = None
    # made when the first map is missing: a training reads maps that are all there without the teacher's weights
    _made: list[Teacher] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name not in TEACHERS:
            raise RecipeError(
                f"there is no depth teacher {self.name!r}", where="teacher", remedy=f"Known: {', '.join(TEACHERS)}."
            )

    def path(self, scene: str) -> Path:
        """The file of a scene.

        Raises:
            SourceError: the name leads out of the folder.
        """
        name = PurePosixPath(scene)
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise SourceError(f"{scene!r} is no name for a file", where=str(self.folder))
        return self.folder / f"{name}.png"

    def depth(self, example: SceneExample) -> Depth:
        """Read the map of a scene, or make it and keep it.

        Raises:
            SourceError: its file is damaged or of another image.
            OutputError: it cannot be written.
            CalibrationError: the images cannot be matched.
            CheckpointError: the map is missing, and so are the teacher's weights, or they do not fit.
        """
        path = self.path(example.name)
        if not path.exists():
            if not self._made:
                self._made.append(TEACHERS[self.name](self.weights))
            write_depth(path, self._made[0](example), example.rig.fingerprint)
        # read even if it was just made: the first epoch must not see finer depth than the others
        return read_depth(path, example)


def write_depth(path: Path, depth: Depth, rig: str) -> None:
    """Write a map; the calibration's fingerprint goes with it.

    Raises:
        OutputError: it cannot be written.
    """
    steps = np.rint(np.where(np.isfinite(depth), depth, 0.0) * STEPS_PER_METRE)
    steps[(steps < 0) | (steps > np.iinfo(np.uint16).max)] = 0
    note = PngImagePlugin.PngInfo()
    note.add_text(_RIG, rig)
    with whole_file(path) as partial:
        Image.fromarray(steps.astype(np.uint16)).save(partial, "PNG", pnginfo=note)


def read_depth(path: Path, example: SceneExample) -> Depth:
    """Read a map, `[H, W]` float32 metres, NaN where there is none.

    Raises:
        SourceError: it is damaged, of another size, or was made with another calibration.
    """
    remedy = "Remove the file; it is made again when it is missing."
    try:
        with Image.open(path, formats=["PNG"]) as image:
            # header first: a bomb is refused by its size before it is unpacked
            size, rig = (image.height, image.width), image.info.get(_RIG, example.rig.fingerprint)
            if size != example.left.shape[:2] or not image.mode.startswith("I"):
                raise SourceError(
                    f"the depth map is {image.mode} {size}, not 16-bit {example.left.shape[:2]}",
                    where=str(path),
                    remedy=remedy,
                )
            steps = np.asarray(image, np.float32)
    except SourceError:
        raise
    except Exception as error:  # a damaged file surfaces as any exception
        raise SourceError(f"the depth map cannot be read ({error})", where=str(path), remedy=remedy) from error
    if rig != example.rig.fingerprint:
        raise SourceError(
            f"the depth map was made with another calibration than that of {example.name}",
            where=str(path),
            remedy="Give each data set a cache of its own, or remove the file.",
        )
    return np.where(steps > 0, steps / STEPS_PER_METRE, np.nan).astype(np.float32)


class TrainedScenes:
    """Scenes of a data set with the depth of a teacher, or with none.

    Args:
        scenes: the data set.
        cache: where the depth comes from; None = the scenes lose theirs.
    """

    def __init__(self, scenes: SceneDataset, cache: DepthCache | None) -> None:
        self._scenes, self._cache = scenes, cache

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> SceneExample:
        example = self._scenes[index]
        return replace(example, depth=None if self._cache is None else self._cache.depth(example))


def with_teacher(scenes: SceneDataset, teacher: str, folder: Path, weights: Path | None = None) -> SceneDataset:
    """Scenes with the depth that a recipe asks for.

    Args:
        scenes: the data set.
        teacher: one of `CHOICES`.
        folder: of the maps of a teacher.
        weights: of the teacher, where it has any.
    """
    if teacher == FROM_DATASET:
        return scenes
    return TrainedScenes(scenes, None if teacher == NONE else DepthCache(folder, teacher, weights))
