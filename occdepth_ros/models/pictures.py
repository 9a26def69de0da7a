"""Pictures as 2-D networks want them."""

from __future__ import annotations

import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(pictures: torch.Tensor) -> torch.Tensor:
    """`[..., H, W, 3]` RGB uint8 to `[..., 3, H, W]` float32 with ImageNet's mean and deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=pictures.device)
    std = torch.tensor(IMAGENET_STD, device=pictures.device)
    return ((pictures.float() / 255 - mean) / std).movedim(-1, -3)
