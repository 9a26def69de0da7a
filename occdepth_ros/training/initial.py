"""Initial weights of a training."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from torch import nn

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading.state import load_strict, read_state

BACKBONE_PREFIXES = (
    "net_rgb.encoder.original_model.",
    "encoder.original_model.",
    "picture_net.encoder.",
    "encoder.",
    "img_backbone.net.",
    "img_backbone.",
    "backbone.",
)
"""Prefixes of the parameter names of 2-D backbones."""
FILE_PREFIXES = ("", "image_network.encoder.", "encoder.")
"""Prefixes of the backbone's parameter names in files of timm, of bird's-eye-view networks and of image networks."""


def load_initial(network: nn.Module, initial: Path | None, backbone: Path | None) -> None:
    """Load weights of the whole network, then those of its 2-D backbone.

    Args:
        network: the network to train.
        initial: weights of the same network.
        backbone: weights of the backbone, such as those of timm, or of a network of `models/edge_bev`, whose encoder is
            used; other tensors in the file are ignored.

    Raises:
        CheckpointError: a file is damaged or belongs to another network.
    """
    if initial is not None:
        load_strict(network, read_state(initial), where=str(initial))
    if backbone is None:
        return
    content = read_state(backbone)
    own = network.state_dict()
    for prefix, inner in product(BACKBONE_PREFIXES, FILE_PREFIXES):
        state = {name[len(inner) :]: tensor for name, tensor in content.items() if name.startswith(inner)}
        inside = {name[len(prefix) :]: tensor for name, tensor in own.items() if name.startswith(prefix)}
        found = {name for name, tensor in inside.items() if name in state and state[name].shape == tensor.shape}
        # batch counters of normalization layers are missing from some files and are not used
        lacking = [name for name in inside if name not in found and not name.endswith("num_batches_tracked")]
        if found and not lacking:
            network.load_state_dict({prefix + name: state[name] for name in found}, strict=False)
            return
    raise CheckpointError(
        "these are not the weights of this network's backbone",
        where=str(backbone),
        remedy="Give timm's weights of the backbone in the recipe's network.",
    )
