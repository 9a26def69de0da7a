"""Which model a published checkpoint is for, and the tensors that the networks of this package take from it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from occdepth_ros.models.loading.recognition import Published, fits_nothing
from occdepth_ros.models.loading.state import State
from occdepth_ros.models.occdepth.recognition import occdepth_shapes, recognise

Recogniser = Callable[[State, str], Published]
"""Recognises tensors, given the file's name for error texts; CheckpointError where no network fits."""

FAMILIES: dict[str, str] = {
    "feature_extraction.firstconv.0.conv.0.weight": "occdepth_ros.checkpoints.other_networks:recognise",
    "Encoder_block1.0.weight": "occdepth_ros.checkpoints.other_networks:recognise",
    "picture_net.lifted.weight": "occdepth_ros.checkpoints.other_networks:recognise",
    "to_column.8.weight": "occdepth_ros.checkpoints.other_networks:recognise",
    "colour.down.0.weight": "occdepth_ros.checkpoints.other_networks:recognise",
    "name_points.weight": "occdepth_ros.checkpoints.other_networks:recognise",
    "pts_bbox_head.mask_embed.weight": "occdepth_ros.models.monoocc.published:recognise_published",
}
"""Recogniser ("module:name") by a parameter name that only its family has. All other checkpoints are OccDepth's."""


def recognise_published(state: State, where: str) -> Published:
    """Find the models that the tensors of a published checkpoint fit.

    Raises:
        CheckpointError: none fits; the text names the closest one.
    """
    for parameter, target in FAMILIES.items():
        if parameter in state:
            module, _, name = target.partition(":")
            recogniser: Recogniser = getattr(import_module(module), name)
            return recogniser(state, where)
    models = recognise(state)
    if not models:
        raise fits_nothing(state, occdepth_shapes(), where)
    return Published(tuple(models), state)
