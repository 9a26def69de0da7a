"""Preprocessing of images inside an exported graph: cropping, resizing, padding and normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.images import ImageFit, normalize


class FixedFit(nn.Module):
    """`ImageFit.apply` with operators that all ONNX runtimes support: resizing is two matrix products.

    Args:
        fit: transform from the rig's image to the network's image.
    """

    rows: torch.Tensor | None
    columns: torch.Tensor | None

    def __init__(self, fit: ImageFit) -> None:
        super().__init__()
        self.fit = fit
        resized = fit.scaled != fit.source
        self.register_buffer("rows", resizing(fit.source[0], fit.scaled[0]) if resized else None, persistent=False)
        self.register_buffer("columns", resizing(fit.source[1], fit.scaled[1]) if resized else None, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map `[V, H, W, 3]` RGB uint8 of the source size to `[V, 3, h, w]` float32 of the target size, normalised."""
        height, width = self.fit.content
        if self.rows is not None and self.columns is not None:
            planes = images.permute(0, 3, 1, 2).float()
            planes = self.rows @ planes @ self.columns.T
            images = planes.permute(0, 2, 3, 1)
        target = self.fit.target
        images = images[:, :height, :width]
        return F.pad(normalize(images), (0, target[1] - width, 0, target[0] - height))


def resizing(before: int, after: int) -> torch.Tensor:
    """Return the antialiased bilinear resizing of `before` to `after` samples as a matrix, `[after, before]`."""
    # each sample is an image two columns wide, because torch resizes images of one column wrongly
    unit = torch.eye(before)[:, None, :, None].expand(-1, -1, -1, 2).contiguous()
    resized = F.interpolate(unit, size=(after, 2), mode="bilinear", align_corners=False, antialias=True)
    return resized[:, 0, :, 0].T.contiguous()
