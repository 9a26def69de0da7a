"""Recognition of the network that a set of tensors fits, by names and shapes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading.state import State

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of every tensor by name."""


@dataclass(frozen=True)
class Published:
    """A recognized checkpoint.

    Args:
        models: names of the models that the tensors fit; several if the models differ in untrained tensors only.
        state: tensors that the models use, by parameter name.
        notes: further facts for the user, one line each.
    """

    models: tuple[str, ...]
    state: State
    notes: tuple[str, ...] = ()


@cache
def shapes_of(network: Callable[..., nn.Module], *arguments: Hashable) -> Shapes:
    """Return the shapes of the tensors of `network(*arguments)`, without allocating their memory."""
    with torch.device("meta"):
        return shapes_in(network(*arguments).state_dict())


def shapes_in(state: Mapping[str, torch.Tensor]) -> Shapes:
    """Return the shapes of given tensors."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def fitting(state: Mapping[str, torch.Tensor], networks: Mapping[str, Shapes]) -> list[str]:
    """Return the names of the networks that have exactly these tensors."""
    found = shapes_in(state)
    return [name for name, shapes in networks.items() if shapes == found]


def fits_nothing(
    state: Mapping[str, torch.Tensor],
    networks: Mapping[str, Shapes],
    where: str,
    *,
    remedy: str = "Give a checkpoint of the published code, trained with a published configuration.",
) -> CheckpointError:
    """Return the error for tensors that fit no network; it names the closest network and the number of differences.

    Args:
        state: the tensors.
        networks: networks with which they were compared.
        where: the file.
        remedy: what the user can do.
    """
    found = set(shapes_in(state).items())
    differing = {name: len(found ^ set(shapes.items())) for name, shapes in networks.items()}
    closest = min(differing, key=lambda name: differing[name])
    return CheckpointError(
        f"its {len(state)} tensors fit no network of this package; {closest} is closest and differs in "
        f"{differing[closest]} names or shapes",
        where=where,
        remedy=remedy,
    )
