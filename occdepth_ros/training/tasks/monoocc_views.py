"""The images of a scene for MonoOcc and its teachers, and the selection of those that a network uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import SourceError
from occdepth_ros.models.monoocc.config import MonoOccConfig
from occdepth_ros.models.monoocc.predictor import image_fit
from occdepth_ros.models.monoocc.reference_points import References

LEFT, RIGHT = 0, 1


@dataclass(frozen=True)
class SceneViews:
    """Left, right, and earlier left images.

    Args:
        images: `[V, H, W, 3]` RGB uint8.
        cameras: camera of each image, with the pose of the grid frame in it at that time.
        rows: index of the earlier image of each offset.
    """

    images: torch.Tensor
    cameras: Sequence[tuple[PinholeCamera, Matrix]]
    rows: dict[int, int]

    @classmethod
    def of(cls, example: SceneExample, past: Sequence[int]) -> SceneViews:
        """Return the images of a scene and of these frame offsets.

        Before the start of the drive, the present image is used (section 6.1).

        Raises:
            SourceError: earlier images are requested and the data set of the scene has none.
        """
        rig, earlier = example.rig, example.earlier
        if past and earlier is None:
            raise SourceError(
                "the scene has no earlier images, but the network requires them",
                where=example.name,
                remedy=f"Generate synthetic scenes with --past {' '.join(map(str, past))}, or take semantic_kitti.",
            )
        images = [example.left, example.right]
        cameras = [(rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)]
        rows: dict[int, int] = {}
        for offset in past:
            view = None if earlier is None else earlier.get(offset)
            rows[offset] = LEFT if view is None else len(images)
            if view is not None:
                images.append(view.image)
                cameras.append((view.camera, view.camera_from_grid(rig)))
        return cls(torch.from_numpy(np.stack(images)), cameras, rows)

    def with_images(self, images: torch.Tensor) -> SceneViews:
        """Return a copy with other images of the same cameras, `[V, H, W, 3]` uint8."""
        return replace(self, images=images)

    def shown(self, config: MonoOccConfig, example: SceneExample) -> tuple[torch.Tensor, References]:
        """Return the inputs of a network: images `[C, 3, h, w]` normalized float32, and the pixels of voxels in them.

        Args:
            config: the network.
            example: the scene.
        """
        chosen = [LEFT, *(self.rows[offset] for offset in config.past)] if config.past else [LEFT, RIGHT]
        chosen = chosen[: config.cameras]
        fit = image_fit(config, example.rig)
        cameras = [(fit.camera(camera), pose) for camera, pose in (self.cameras[row] for row in chosen)]
        return fit.apply(self.images[chosen]), References.of_cameras(config.working_grid(example.grid), cameras)
