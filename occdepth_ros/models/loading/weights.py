"""Creation of networks on the CPU with weights from a file, shipped weights, or random weights."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading.state import State, load_strict, read_state

RANDOM = "random"
"""Selects seeded random weights instead of a weights file, for timing and tests only."""

Network = TypeVar("Network", bound=nn.Module)


def with_weights(
    make: Callable[[State | None], Network],
    name: str,
    weights: Path | str | None,
    *,
    shipped: str | None = None,
    recognise: Callable[[State], list[str]] = lambda _: [],
    load: Callable[..., None] = load_strict,
) -> Network:
    """Make a network on the CPU, in float32, and fill it with weights.

    Args:
        make: creates the network for given weights; None = seeded random weights.
        name: the model's name, for error texts.
        weights: weights file, "random", or None for the shipped weights.
        shipped: file in `occdepth_ros/weights` for this model; None = no shipped weights.
        recognise: names of the models that given tensors fit, for the error text.
        load: loads the tensors: `load(network, state, where=FILE)`; CheckpointError where they do not fit.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    if weights is None and shipped is None:
        raise CheckpointError(
            f"{name} needs a weights file and none ships with this package",
            where="weights",
            remedy="Give one (weights:=FILE, or --weights FILE), or use the model stereo-geometry, which needs none.",
        )
    if str(weights) == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return make(None)
    # read first, so that a wrong file is reported before the network is created
    if weights is None and shipped is not None:
        with resources.as_file(resources.files("occdepth_ros.weights").joinpath(shipped)) as path:
            weights, state = path, read_state(path)
    else:
        state = read_state(Path(str(weights)))
    network = make(state)
    try:
        load(network, state, where=str(weights))
    except CheckpointError as error:
        others = [other for other in recognise(state) if other != name]
        if not others:
            raise
        raise CheckpointError(
            f"these are weights of {' or '.join(others)}, not of {name}",
            where=str(weights),
            remedy=f"Choose the model {others[0]}, or other weights.",
        ) from error
    return network
