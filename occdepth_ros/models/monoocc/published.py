"""Published checkpoints of MonoOcc and VoxFormer: selection of the used tensors and of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from occdepth_ros.models.loading.recognition import Published, Shapes, fits_nothing, shapes_of
from occdepth_ros.models.loading.state import State, load_strict
from occdepth_ros.models.monoocc.config import PRESETS, MonoOccConfig
from occdepth_ros.models.monoocc.network import MonoOcc

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
"""Unused tensors of all published checkpoints."""
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
"""Tensors of contributions that a configuration may leave out."""
LATE = HEAD + "cross_transformer_late."


def was_late_trained(state: Mapping[str, torch.Tensor]) -> bool:
    """Return whether the late cross-transformer, which all checkpoints hold, was trained: its offsets are not zero."""
    return any(
        bool(tensor.any())
        for name, tensor in state.items()
        if name.startswith(LATE) and name.endswith("sampling_offsets.weight")
    )


def flagged(config: MonoOccConfig, state: Mapping[str, torch.Tensor]) -> MonoOccConfig:
    """Return the configuration with the contributions that a checkpoint was trained with, and its number of cameras."""
    cameras = state.get(HEAD + "cross_transformer.cams_embeds")
    return replace(
        config,
        late=was_late_trained(state),
        semantic=any(name.startswith(HEAD + "sem_decoder.") for name in state),
        cross_view=any(name.startswith(HEAD + "cvt.") for name in state),
        cameras=config.cameras if cameras is None or cameras.dim() != 2 else int(cameras.shape[0]),
    )


def wanted_part(network: MonoOcc, state: Mapping[str, torch.Tensor]) -> State:
    """Return the tensors without unused tensors and without those of contributions that this network lacks."""
    own = network.state_dict()
    return {name: t for name, t in state.items() if name in own or not name.startswith((*UNUSED, *OPTIONAL))}


def load_published(network: MonoOcc, state: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Load tensors under their published names; unused ones are ignored.

    Raises:
        CheckpointError: names or shapes differ.
    """
    load_strict(network, wanted_part(network, state), where=where)


def _networks() -> dict[str, Shapes]:
    return {name: shapes_of(MonoOcc, config) for name, config in PRESETS.items()}


def recognise(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the presets that the tensors are for."""
    found = {n: tuple(t.shape) for n, t in state.items() if not n.startswith((*UNUSED, *OPTIONAL[3:]))}
    late = was_late_trained(state)
    if not late:
        found = {n: shape for n, shape in found.items() if not n.startswith(LATE)}
    return [name for name, shapes in _networks().items() if _same(shapes, found)]


def _same(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> bool:
    # predictions do not depend on the decoder of the auxiliary loss, which is optional
    decoder = HEAD + "sem_decoder."
    reference = [{n: s for n, s in shapes.items() if not n.startswith(decoder)} for shapes in (expected, found)]
    return reference[0] == reference[1] and all(
        expected.get(n, s) == s for n, s in found.items() if n.startswith(decoder)
    )


def recognise_published(state: State, where: str) -> Published:
    """Find the preset of a published checkpoint, and leave its unused tensors out.

    Raises:
        CheckpointError: the tensors fit no configuration; the text names the closest preset.
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
