"""Shipped weights of the bird's-eye-view architecture, and loading of its network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import torch

from occdepth_ros.models.edge_bev.config import PRESETS
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.loading.state import load_strict
from occdepth_ros.models.loading.weights import with_weights

SHIPPED: dict[str, str] = {name: f"{name}.safetensors" for name in PRESETS}
"""Weights file of each name, in `occdepth_ros/weights`."""
FORMER_PREFIX = "picture_net."
"""Prefix of the parameter names of the former architecture."""
PROFILE_PREFIX = "ground_profile."


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
            is now named occdepth-edge-sfa.
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
    """Load weights; weights without a ground profile get the initial profile, which is zero."""
    profile = {key: value for key, value in network.state_dict().items() if key.startswith(PROFILE_PREFIX)}
    load_strict(network, state if profile.keys() & state.keys() else profile | dict(state), where=where)
