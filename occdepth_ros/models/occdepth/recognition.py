"""Which configuration a set of tensors belongs to, told from names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch

from occdepth_ros.models.occdepth.config import PRESETS, OccDepthConfig
from occdepth_ros.models.occdepth.network import OccDepth

Shapes = dict[str, tuple[int, ...]]


@cache
def shapes_of(config: OccDepthConfig) -> Shapes:
    """Names and shapes of a configuration's tensors; no memory is taken for them."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in OccDepth(config).state_dict().items()}


def recognise(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the presets that fit: none, one, or several that differ in nothing learned."""
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return [name for name, config in PRESETS.items() if shapes_of(config) == found]


def closest(state: Mapping[str, torch.Tensor]) -> tuple[str, int]:
    """The preset that differs in the fewest tensors, and in how many of them."""
    found = {(name, tuple(tensor.shape)) for name, tensor in state.items()}
    differing = {name: len(found ^ set(shapes_of(config).items())) for name, config in PRESETS.items()}
    best = min(differing, key=lambda name: differing[name])
    return best, differing[best]
