"""Transform from the rig's images to a network's images: resizing, cropping, padding and normalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.models.predictor import ImageArray

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

SAME_SCALE = 0.05
"""Largest relative difference of width and height with which an image is cropped or padded instead of resized."""


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Map `[..., H, W, 3]` RGB uint8 to `[..., 3, H, W]` float32 with ImageNet's mean and deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device)
    std = torch.tensor(IMAGENET_STD, device=images.device)
    return ((images.float() / 255 - mean) / std).movedim(-1, -3)


@dataclass(frozen=True)
class ImageFit:
    """Transform from a rig's image to the network's image.

    An image within 5 % of the network's size keeps its scale, as in training, and is cropped at the right and lower
    edges. Any other image is resized, with its aspect ratio, to fit inside. The network's image is padded at the right
    and below with the mean colour; no voxel projects into the padding.

    Args:
        source: height and width of the rig's image, pixels.
        scaled: height and width after resizing, pixels.
        target: height and width of the network's image.
    """

    source: tuple[int, int]
    scaled: tuple[int, int]
    target: tuple[int, int]

    @classmethod
    def between(cls, source: tuple[int, int], target: tuple[int, int]) -> ImageFit:
        """Return the fit of a `source` image in a `target` one, (height, width) each."""
        ratios = target[0] / source[0], target[1] / source[1]
        if all(abs(1 / ratio - 1) <= SAME_SCALE for ratio in ratios):
            return cls(source, source, target)
        scale = min(ratios)
        height, width = (max(1, round(n * scale)) for n in source)
        return cls(source, (height, width), target)

    @property
    def content(self) -> tuple[int, int]:
        """Height and width of the part of the network's image that shows the scene."""
        return min(self.scaled[0], self.target[0]), min(self.scaled[1], self.target[1])

    def finer(self, factor: float) -> ImageFit:
        """Return the fit to an image `factor` times the network's size, limited by the size of the rig's image."""
        height, width = self.scaled
        factor = max(1.0, min(factor, self.source[0] / height, self.source[1] / width))
        rows, columns = (round(factor * n) for n in self.content)
        return ImageFit(self.source, (round(factor * height), round(factor * width)), (rows, columns))

    def rig(self, rig: StereoRig) -> StereoRig:
        """Return the rig of the network's images, without the padding."""
        return replace(rig, left=self.camera(rig.left), right=self.camera(rig.right))

    def camera(self, camera: PinholeCamera) -> PinholeCamera:
        """Return one camera of `rig`."""
        if self.scaled != self.source:
            camera = camera.scaled(self.scaled[1], self.scaled[0])
        height, width = self.content
        return camera.cropped(width, height)

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Map `[V, H, W, 3]` RGB uint8 of the source size to `[V, 3, h, w]` float32 of the target size, normalised."""
        height, width = self.content
        if self.scaled == self.source:
            images = images[:, :height, :width]
        else:
            planes = images.movedim(-1, 1).float()
            planes = F.interpolate(planes, size=self.scaled, mode="bilinear", align_corners=False, antialias=True)
            images = planes[:, :, :height, :width].movedim(1, -1)
        # zero is the mean colour after normalisation
        return F.pad(normalize(images), (0, self.target[1] - width, 0, self.target[0] - height))

    def apply_depth(self, depth: torch.Tensor) -> torch.Tensor:
        """Resample depth of the source size to the target size by nearest neighbour.

        Args:
            depth: `[H, W]` metres; NaN or infinite = none.

        Returns:
            `[h, w]` metres; 0 = none.
        """
        depth = torch.where(depth.isfinite(), depth, 0.0)
        if self.scaled != self.source:
            depth = F.interpolate(depth[None, None], size=self.scaled, mode="nearest")[0, 0]
        height, width = self.content
        return F.pad(depth[:height, :width], (0, self.target[1] - width, 0, self.target[0] - height))

    def restore(self, image: torch.Tensor) -> torch.Tensor:
        """Map `[h, w]` of the target size back to `[H, W]` of the source size; NaN outside the content."""
        height, width = self.content
        out = image.new_full(self.scaled, float("nan"))
        out[:height, :width] = image[:height, :width]
        if self.scaled == self.source:
            return out
        # "exact": pixel centres at integers, as in the scaled rig
        return F.interpolate(out[None, None], size=self.source, mode="nearest-exact")[0, 0]


def resized(image: ImageArray, fit: ImageFit) -> ImageArray:
    """Resize an image to the scale of a fit and crop it to its content, `[h, w, 3]` uint8."""
    height, width = fit.content
    if fit.scaled != fit.source:
        # area interpolation of an enlarged image copies pixels, so that disparities would be integers
        method = cv2.INTER_AREA if fit.scaled <= fit.source else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, fit.scaled[::-1], interpolation=method), np.uint8)
    return np.ascontiguousarray(image[:height, :width])
