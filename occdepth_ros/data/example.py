"""One scene to learn from: a stereo pair, its calibration and every ground truth that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.data.earlier import EarlierView
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid


@dataclass(frozen=True)
class SceneExample:
    """One scene of a data set.

    Args:
        name: of the scene in its data set, such as "08/000005".
        left, right: rectified pair, `[H, W, 3]` RGB uint8 each; see `virtual` for data sets of one camera.
        rig: the cameras and the place of the grid's frame before them.
        grid: where the voxels of `target` are.
        target: `[X, Y, Z]` uint8: 0 free, class ids, 255 unknown.
        seen: whether a voxel's ground truth was seen from the frame's own place, `[X, Y, Z]`; None = not known.
        depth: of the left image, `[H, W]` float32 metres, NaN = unknown, infinity = sky; None = none at all.
        semantics: classes of the left image's pixels, `[H, W]` uint8 class ids, 255 = unknown; None = none at all.
        earlier: what the left camera saw before, by offset in frames of 0.1 s, such as -3; offsets before the drive
            began are missing. None = no earlier images are known.
        virtual: there was one camera, with depth: the right image is what the left one and its depth say that a
            second camera of `rig` would see, black where they do not say. A network that warps features by depth
            instead (OccDepth, section 4.1, for RGB-D) takes `left` and `depth` alone.

    Raises:
        GridError: an array has another shape or type than the rig or the grid asks for.
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

    def __post_init__(self) -> None:
        image = (self.rig.left.height, self.rig.left.width)
        wanted = {
            "left": ((*image, 3), np.uint8),
            "right": ((*image, 3), np.uint8),
            "target": (self.grid.size, np.uint8),
            "seen": (self.grid.size, np.bool_),
            "depth": (image, np.float32),
            "semantics": (image, np.uint8),
        }
        of_earlier = {f"earlier {offset}": view.image for offset, view in (self.earlier or {}).items()}
        wanted |= dict.fromkeys(of_earlier, wanted["left"])
        for name, (shape, kind) in wanted.items():
            array = of_earlier[name] if name in of_earlier else getattr(self, name)
            if array is not None and (array.shape != shape or array.dtype != kind):
                raise GridError(
                    f"{name} is {array.dtype} {array.shape}, not {np.dtype(kind)} {shape}", where=f"scene {self.name}"
                )


@runtime_checkable
class SceneDataset(Protocol):
    """What every data set offers to training and evaluation."""

    def __len__(self) -> int:
        """Number of scenes."""

    def __getitem__(self, index: int) -> SceneExample:
        """Read or make the scene of this index; IndexError past the end."""
