"""A network on the CPU with the weights that a user names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading import load_strict, read_state

RANDOM = "random"
"""In place of a weights file: seeded random weights, for timing and tests only."""

Network = TypeVar("Network", bound=nn.Module)


def with_weights(
    make: Callable[[], Network],
    name: str,
    weights: Path | str | None,
    recognise: Callable[[dict[str, torch.Tensor]], list[str]] = lambda _: [],
) -> Network:
    """Make a network and fill it with the weights of a file or, for "random", with seeded random ones.

    Args:
        make: makes the network.
        name: the model's name, for error texts.
        weights: the file, or "random".
        recognise: names of the models that tensors which do not fit would be for.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    if weights is None:
        raise CheckpointError(
            f"{name} needs a weights file and none ships with this package",
            where="weights",
            remedy="Give one (weights:=FILE, or --weights FILE), or use the model stereo-geometry, which needs none.",
        )
    if str(weights) == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return make()
    # read first: a wrong file is found before the network is built
    state = read_state(Path(weights))
    network = make()
    try:
        load_strict(network, state, where=str(weights))
    except CheckpointError as error:
        others = recognise(state)
        if not others:
            raise
        raise CheckpointError(
            f"these are weights of {' or '.join(others)}, not of {name}",
            where=str(weights),
            remedy=f"Choose the model {others[0]}, or other weights.",
        ) from error
    return network
