"""Depth teachers: depth maps of the left image that are computed once, stored as files, and distilled in training.

A map is a 16-bit PNG of metres times 256, 0 without depth, which is KITTI's format.
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
"""Lower bound of the depth bins and therefore of matching, metres."""
_RIG = "rig"


class Teacher(Protocol):
    """Computes depth from a stereo pair."""

    def __call__(self, example: SceneExample) -> Depth:
        """Return the depth of the left image, `[H, W]` float32 metres, NaN without depth."""


class SemiGlobalTeacher:
    """Semi-global matching at full resolution; pixels that fail the consistency tests have no depth."""

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
        CheckpointError: the weights are missing, damaged, or belong to another network.
    """

    def __init__(self, name: str, weights: Path | None) -> None:
        # the other teachers need no torch
        from torch.utils.data import get_worker_info

        from occdepth_ros.models.mobilestereonet.depth import StereoNetDepth

        # CUDA does not survive the fork of a loader's worker; `occdepth depth` computes maps in advance on the GPU
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
"""Factories of the teachers by name; each takes the weights file."""

FROM_DATASET, NONE = "dataset", "none"
CHOICES = (FROM_DATASET, NONE, *TEACHERS)
"""Values of `teacher` in a recipe."""


@dataclass(frozen=True)
class DepthCache:
    """Depth maps of one teacher on disk; missing maps are computed.

    Args:
        folder: folder of the files SCENE.png; the scene name may contain folders.
        name: a key of `TEACHERS`.
        weights: weights file of a teacher that is a network; without it, missing maps cannot be computed.

    Raises:
        RecipeError: the teacher does not exist.
    """

    folder: Path
    name: str
    weights: Path | None = None
    # created at the first missing map: a training with complete maps does not need the teacher's weights
    _made: list[Teacher] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name not in TEACHERS:
            raise RecipeError(
                f"there is no depth teacher {self.name!r}", where="teacher", remedy=f"Known: {', '.join(TEACHERS)}."
            )

    def path(self, scene: str) -> Path:
        """Return the file of a scene.

        Raises:
            SourceError: the name leads out of the folder.
        """
        name = PurePosixPath(scene)
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise SourceError(f"{scene!r} is not a valid file name", where=str(self.folder))
        return self.folder / f"{name}.png"

    def depth(self, example: SceneExample) -> Depth:
        """Read the map of a scene; compute and store it if it is missing.

        Raises:
            SourceError: the file is damaged or belongs to another image.
            OutputError: the file cannot be written.
            CalibrationError: the images cannot be matched.
            CheckpointError: the map is missing, and the teacher's weights are missing or do not fit.
        """
        path = self.path(example.name)
        if not path.exists():
            if not self._made:
                self._made.append(TEACHERS[self.name](self.weights))
            write_depth(path, self._made[0](example), example.rig.fingerprint)
        # read the stored map in the first epoch, too, so that all epochs use the same precision
        return read_depth(path, example)


def write_depth(path: Path, depth: Depth, rig: str) -> None:
    """Write a map with the fingerprint of its calibration.

    Raises:
        OutputError: the file cannot be written.
    """
    steps = np.rint(np.where(np.isfinite(depth), depth, 0.0) * STEPS_PER_METRE)
    steps[(steps < 0) | (steps > np.iinfo(np.uint16).max)] = 0
    note = PngImagePlugin.PngInfo()
    note.add_text(_RIG, rig)
    with whole_file(path) as partial:
        Image.fromarray(steps.astype(np.uint16)).save(partial, "PNG", pnginfo=note)


def read_depth(path: Path, example: SceneExample) -> Depth:
    """Read a map, `[H, W]` float32 metres, NaN without depth.

    Raises:
        SourceError: the map is damaged, has another size, or was computed with another calibration.
    """
    remedy = "Remove the file; it is computed again if it is missing."
    try:
        with Image.open(path, formats=["PNG"]) as image:
            # check the header first, so that a decompression bomb is refused before it is decoded
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
    except Exception as error:  # a damaged file can raise any exception
        raise SourceError(f"the depth map cannot be read ({error})", where=str(path), remedy=remedy) from error
    if rig != example.rig.fingerprint:
        raise SourceError(
            f"the depth map was computed with another calibration than that of {example.name}",
            where=str(path),
            remedy="Give each data set its own cache, or remove the file.",
        )
    return np.where(steps > 0, steps / STEPS_PER_METRE, np.nan).astype(np.float32)


class TrainedScenes:
    """Scenes of a data set with the depth of a teacher, or without depth.

    Args:
        scenes: the data set.
        cache: source of the depth; None = the depth is removed.
    """

    def __init__(self, scenes: SceneDataset, cache: DepthCache | None) -> None:
        self._scenes, self._cache = scenes, cache

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> SceneExample:
        example = self._scenes[index]
        return replace(example, depth=None if self._cache is None else self._cache.depth(example))


def with_teacher(scenes: SceneDataset, teacher: str, folder: Path, weights: Path | None = None) -> SceneDataset:
    """Return the scenes with the depth that a recipe requests.

    Args:
        scenes: the data set.
        teacher: one of `CHOICES`.
        folder: folder of the teacher's maps.
        weights: weights file of the teacher, if it is a network.
    """
    if teacher == FROM_DATASET:
        return scenes
    return TrainedScenes(scenes, None if teacher == NONE else DepthCache(folder, teacher, weights))
