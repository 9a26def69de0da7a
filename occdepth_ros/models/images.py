"""Pictures as 2-D networks want them: the right size, normalised."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.models.predictor import Picture

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

SAME_SCALE = 0.05
"""Up to this relative difference of width and height a picture is cropped or padded, not resized."""


def normalize(pictures: torch.Tensor) -> torch.Tensor:
    """`[..., H, W, 3]` RGB uint8 to `[..., 3, H, W]` float32 with ImageNet's mean and deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=pictures.device)
    std = torch.tensor(IMAGENET_STD, device=pictures.device)
    return ((pictures.float() / 255 - mean) / std).movedim(-1, -3)


@dataclass(frozen=True)
class PictureFit:
    """How a rig's picture becomes the network's.

    A picture of about the network's size keeps its scale, as in training: what is beyond the right and lower
    edges is cut off. Any other is resized, aspect kept, until it fits in wholly. What the network's picture has
    in excess, at the right and below, is filled with the mean colour and belongs to no voxel.

    Args:
        source: height and width of the rig's picture, pixels.
        scaled: the same after resizing.
        target: height and width of the network's picture.
    """

    source: tuple[int, int]
    scaled: tuple[int, int]
    target: tuple[int, int]

    @classmethod
    def between(cls, source: tuple[int, int], target: tuple[int, int]) -> PictureFit:
        """The fit of a `source` picture in a `target` one, (height, width) each."""
        ratios = target[0] / source[0], target[1] / source[1]
        if all(abs(1 / ratio - 1) <= SAME_SCALE for ratio in ratios):
            return cls(source, source, target)
        scale = min(ratios)
        height, width = (max(1, round(n * scale)) for n in source)
        return cls(source, (height, width), target)

    @property
    def content(self) -> tuple[int, int]:
        """Height and width of the part of the network's picture that shows the scene."""
        return min(self.scaled[0], self.target[0]), min(self.scaled[1], self.target[1])

    def finer(self, factor: float) -> PictureFit:
        """The fit to a picture `factor` times as large as the network's; at most as large as the rig's own allows."""
        height, width = self.scaled
        factor = max(1.0, min(factor, self.source[0] / height, self.source[1] / width))
        rows, columns = (round(factor * n) for n in self.content)
        return PictureFit(self.source, (round(factor * height), round(factor * width)), (rows, columns))

    def rig(self, rig: StereoRig) -> StereoRig:
        """The rig that would have taken the network's picture, without the filling."""
        return replace(rig, left=self.camera(rig.left), right=self.camera(rig.right))

    def camera(self, camera: PinholeCamera) -> PinholeCamera:
        """The same for one camera."""
        if self.scaled != self.source:
            camera = camera.scaled(self.scaled[1], self.scaled[0])
        height, width = self.content
        return camera.cropped(width, height)

    def apply(self, pictures: torch.Tensor) -> torch.Tensor:
        """`[V, H, W, 3]` RGB uint8 of the source size to `[V, 3, h, w]` float32 of the target size, normalised."""
        height, width = self.content
        if self.scaled == self.source:
            pictures = pictures[:, :height, :width]
        else:
            planes = pictures.movedim(-1, 1).float()
            planes = F.interpolate(planes, size=self.scaled, mode="bilinear", align_corners=False, antialias=True)
            pictures = planes[:, :, :height, :width].movedim(1, -1)
        # zero is the mean colour after normalisation
        return F.pad(normalize(pictures), (0, self.target[1] - width, 0, self.target[0] - height))

    def restore(self, picture: torch.Tensor) -> torch.Tensor:
        """`[h, w]` of the target size back to `[H, W]` of the source size; NaN where the network saw nothing."""
        height, width = self.content
        out = picture.new_full(self.scaled, float("nan"))
        out[:height, :width] = picture[:height, :width]
        if self.scaled == self.source:
            return out
        # "exact": pixel centres at whole numbers, as the rig is scaled
        return F.interpolate(out[None, None], size=self.source, mode="nearest-exact")[0, 0]


def shrunk(picture: Picture, fit: PictureFit) -> Picture:
    """A picture at the scale of a fit, cut to what it shows, `[h, w, 3]` uint8."""
    height, width = fit.content
    if fit.scaled != fit.source:
        # areas of enlarged pictures would be copies of pixels, whose disparities are whole
        way = cv2.INTER_AREA if fit.scaled <= fit.source else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, fit.scaled[::-1], interpolation=way), np.uint8)
    return np.ascontiguousarray(picture[:height, :width])
