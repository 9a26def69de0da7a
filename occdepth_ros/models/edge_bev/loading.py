"""Shipped weights of the bird's-eye-view architecture, and loading of its network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import torch

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.edge_bev.config import PRESETS
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.loading.state import load_strict
from occdepth_ros.models.loading.weights import with_weights

SHIPPED: dict[str, str] = {name: f"{name}.safetensors" for name in PRESETS}
"""Weights file of each name, in `occdepth_ros/weights`."""
FORMER_PREFIX = "picture_net."
"""Prefix of the parameter names of the former architecture."""
IMAGE_PREFIX, SURFACE_PREFIX = "image_network.", "surface_in."
"""Prefixes of this architecture, the second one since 2026-11-30 06:30."""


@contextmanager
def weights_file(value: str) -> Iterator[Path]:
    """Yield the path of a weights file, given by its path or by the name of shipped weights."""
    if value not in SHIPPED:
        yield Path(value)
        return
    with resources.as_file(resources.files("occdepth_ros.weights").joinpath(SHIPPED[value])) as path:
        yield path


def load_network(name: str, weights: Path | str | None) -> EdgeBev:
    """Return the network on the CPU, in float32, with weights from a file, the shipped weights, or seeded random ones.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network, such as the former architecture, which
            is now named occdepth-edge-sfa, or the first form of this one.
    """
    return with_weights(
        lambda _: EdgeBev(PRESETS[name]),
        name,
        weights,
        shipped=SHIPPED[name],
        recognise=lambda state: ["occdepth-edge-sfa"] if any(key.startswith(FORMER_PREFIX) for key in state) else [],
        load=_load,
    )


def _load(network: EdgeBev, state: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Load weights of the present form of the architecture."""
    if any(key.startswith(IMAGE_PREFIX) for key in state) and not any(key.startswith(SURFACE_PREFIX) for key in state):
        raise CheckpointError(
            f"these are weights of the first form of {network.config.name}, which this version does not have",
            where=where,
            remedy=f"Use the shipped weights of {network.config.name}, or train it again.",
        )
    load_strict(network, state, where=where)
