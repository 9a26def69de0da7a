"""Whose network a published checkpoint is: what its names say, and what of it the networks here take."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading import State, without_parallel
from occdepth_ros.models.occdepth.recognition import closest, recognise
from occdepth_ros.models.published import Published

Recogniser = Callable[[State, str], Published]
"""From tensors and the file's name, for error texts, to what they are; CheckpointError where they do not fit."""

FAMILIES: dict[str, str] = {
    "feature_extraction.firstconv.0.conv.0.weight": "occdepth_ros.checkpoints.proposal_networks:recognise",
    "Encoder_block1.0.weight": "occdepth_ros.checkpoints.proposal_networks:recognise",
    "pts_bbox_head.mask_embed.weight": "occdepth_ros.models.monoocc.published:recognise_published",
}
"""By the name of a parameter that only this family has: "module:Recogniser". OccDepth's checkpoints are all others."""


def recognise_published(state: State, where: str) -> Published:
    """Find out which models the tensors of a published checkpoint are for.

    Raises:
        CheckpointError: none fits; the text says which is closest.
    """
    state = without_parallel(state)
    for parameter, target in FAMILIES.items():
        if parameter in state:
            module, _, name = target.partition(":")
            recogniser: Recogniser = getattr(import_module(module), name)
            return recogniser(state, where)
    models = recognise(state)
    if not models:
        name, differing = closest(state)
        raise CheckpointError(
            f"its {len(state)} tensors are of no known configuration; {name} is closest and differs in "
            f"{differing} names or shapes",
            where=where,
            remedy="Published checkpoints fit as they are; one trained with other settings does not.",
        )
    return Published(tuple(models), state)
