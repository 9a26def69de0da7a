"""Published checkpoints of MonoOcc and VoxFormer: what of them is computed with, and what they say of flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from occdepth_ros.models.loading import State, load_strict
from occdepth_ros.models.monoocc.config import PRESETS, MonoOccConfig
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.recognition import Published, Shapes, fits_nothing, shapes_of

HEAD = "pts_bbox_head."
UNUSED = (
    "img_backbone.layer4.",
    "img_backbone.fc.",
    "img_backbone.levels.2.downsample.",
    "img_backbone.levels.3.",
    *(
        HEAD + name
        for name in (
            "header.open_mlp_head.",
            "header.lidar_head.",
            "header.conv_3d.",
            "header.downsample.",
            "self_transformer.level_embeds",
            "self_transformer.cams_embeds",
            "mlp.",
        )
    ),
)
"""What every published checkpoint holds though its network's output does not depend on it."""
OPTIONAL = tuple(
    HEAD + name
    for name in (
        "sem_decoder.",
        "cvt.",
        "cross_transformer_late.",
        "depth_decoder.",
        "open_fc.",
        "large_decoder.",
        "occupied_header.",
    )
)
"""What a published checkpoint may hold besides, for contributions that a configuration may leave out."""
LATE = HEAD + "cross_transformer_late."


def was_late_trained(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether the late cross-transformer ever learnt: it always exists, and its offsets begin at exactly zero."""
    return any(
        bool(tensor.any())
        for name, tensor in state.items()
        if name.startswith(LATE) and name.endswith("sampling_offsets.weight")
    )


def flagged(config: MonoOccConfig, state: Mapping[str, torch.Tensor]) -> MonoOccConfig:
    """The configuration with the contributions that a checkpoint was trained with, and its number of cameras."""
    cameras = state.get(HEAD + "cross_transformer.cams_embeds")
    return replace(
        config,
        late=was_late_trained(state),
        semantic=any(name.startswith(HEAD + "sem_decoder.") for name in state),
        cross_view=any(name.startswith(HEAD + "cvt.") for name in state),
        cameras=config.cameras if cameras is None or cameras.dim() != 2 else int(cameras.shape[0]),
    )


def wanted_part(network: MonoOcc, state: Mapping[str, torch.Tensor]) -> State:
    """The tensors without those that checkpoints may hold and this network does not take."""
    own = network.state_dict()
    return {name: t for name, t in state.items() if name in own or not name.startswith((*UNUSED, *OPTIONAL))}


def load_published(network: MonoOcc, state: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Load tensors under their published names: all that the network has, and none that no checkpoint has.

    Raises:
        CheckpointError: names or shapes differ.
    """
    load_strict(network, wanted_part(network, state), where=where)


def _networks() -> dict[str, Shapes]:
    return {name: shapes_of(MonoOcc, config) for name, config in PRESETS.items()}


def recognise(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the presets that the tensors are for."""
    found = {n: tuple(t.shape) for n, t in state.items() if not n.startswith((*UNUSED, *OPTIONAL[3:]))}
    late = was_late_trained(state)
    if not late:
        found = {n: shape for n, shape in found.items() if not n.startswith(LATE)}
    return [name for name, shapes in _networks().items() if _same(shapes, found)]


def _same(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> bool:
    # the decoder of the auxiliary loss changes no prediction: it may be there or not
    decoder = HEAD + "sem_decoder."
    reference = [{n: s for n, s in shapes.items() if not n.startswith(decoder)} for shapes in (wanted, found)]
    return reference[0] == reference[1] and all(
        wanted.get(n, s) == s for n, s in found.items() if n.startswith(decoder)
    )


def recognise_published(state: State, where: str) -> Published:
    """The preset of a published checkpoint, its unused tensors left out.

    Raises:
        CheckpointError: the tensors are of no known configuration; the text says which preset is closest.
    """
    models = recognise(state)
    if not models:
        used = {name: tensor for name, tensor in state.items() if not name.startswith(UNUSED)}
        remedy = "Checkpoints of MonoOcc-S, -L and VoxFormer-S for SemanticKITTI fit; those of other data sets do not."
        raise fits_nothing(used, _networks(), where, remedy=remedy)
    kept = dict(state)
    if not was_late_trained(state):
        kept = {name: tensor for name, tensor in kept.items() if not name.startswith(LATE)}
    kept = {name: tensor for name, tensor in kept.items() if not name.startswith((*UNUSED, *OPTIONAL[3:]))}
    notes = [
        f"image-conditioned cross-attention: {'trained' if was_late_trained(state) else 'never trained, left out'}",
        f"auxiliary 2-D decoder: {'present' if any(n.startswith(OPTIONAL[0]) for n in kept) else 'absent'}",
        f"left out: {len(state) - len(kept)} tensors that no output depends on",
    ]
    return Published(tuple(models), kept, tuple(notes))
