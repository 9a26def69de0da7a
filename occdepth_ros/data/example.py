"""One scene of a data set: a stereo pair, its calibration and its ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.data.earlier import EarlierView, PosedPair
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid


@dataclass(frozen=True)
class SceneExample:
    """One scene of a data set.

    Args:
        name: name of the scene in its data set, such as "08/000005".
        left, right: rectified pair, `[H, W, 3]` RGB uint8 each; see `virtual` for data sets with one camera.
        rig: the cameras and the pose of the grid's frame.
        grid: grid of the voxels of `target`.
        target: `[X, Y, Z]` uint8: 0 free, class ids, 255 unknown.
        seen: `[X, Y, Z]` bool, whether a voxel is visible from the sensor position of the frame; None = unknown.
        depth: depth of the left image, `[H, W]` float32 metres, NaN = unknown, infinity = sky; None = no depth.
        semantics: classes of the left image's pixels, `[H, W]` uint8 class ids, 255 = unknown; None = no classes.
        earlier: earlier images of the left camera by offset in frames of 0.1 s, such as -3; offsets before the start of
            the drive are missing. None = the data set has no earlier images.
        virtual: whether the data set has a single camera with depth and the right image is synthesized from the left
            image and its depth, with black pixels where data are missing. A network that warps features by depth
            (OccDepth, section 4.1, for RGB-D) uses only `left` and `depth`.
        merged_classes: whether `semantics` has no trunks and no motorcyclists: trunks are vegetation and all riders are
            bicyclists there.
        terms: names of the loss terms that the ground truth supervises; None = all.
        world_from_grid: pose of the grid's frame in a fixed frame, `[4, 4]`, metres; None = unknown.
        history: function that reads up to a given number of pairs directly before the scene, the oldest first; None =
            the data set has no earlier pairs with poses.

    Raises:
        GridError: the shape or type of an array does not match the rig or the grid.
    """

    name: str
    left: npt.NDArray[np.uint8]
    right: npt.NDArray[np.uint8]
    rig: StereoRig
    grid: VoxelGrid
    target: npt.NDArray[np.uint8]
    seen: npt.NDArray[np.bool_] | None = field(default=None)
    depth: npt.NDArray[np.float32] | None = field(default=None)
    semantics: npt.NDArray[np.uint8] | None = field(default=None)
    virtual: bool = False
    earlier: Mapping[int, EarlierView] | None = field(default=None)
    merged_classes: bool = field(default=False)
    terms: frozenset[str] | None = field(default=None)
    world_from_grid: Matrix | None = field(default=None)
    history: Callable[[int], Sequence[PosedPair]] | None = field(default=None)

    def __post_init__(self) -> None:
        image = (self.rig.left.height, self.rig.left.width)
        expected = {
            "left": ((*image, 3), np.uint8),
            "right": ((*image, 3), np.uint8),
            "target": (self.grid.size, np.uint8),
            "seen": (self.grid.size, np.bool_),
            "depth": (image, np.float32),
            "semantics": (image, np.uint8),
        }
        of_earlier = {f"earlier {offset}": view.image for offset, view in (self.earlier or {}).items()}
        expected |= dict.fromkeys(of_earlier, expected["left"])
        for name, (shape, kind) in expected.items():
            array = of_earlier[name] if name in of_earlier else getattr(self, name)
            if array is not None and (array.shape != shape or array.dtype != kind):
                raise GridError(
                    f"{name} is {array.dtype} {array.shape}, not {np.dtype(kind)} {shape}", where=f"scene {self.name}"
                )


@runtime_checkable
class SceneDataset(Protocol):
    """Interface of data sets for training and evaluation."""

    def __len__(self) -> int:
        """Return the number of scenes."""

    def __getitem__(self, index: int) -> SceneExample:
        """Read or generate a scene.

        Raises:
            IndexError: `index` is out of range.
        """
