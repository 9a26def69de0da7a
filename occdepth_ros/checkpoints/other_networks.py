"""Checkpoints of the networks besides OccDepth and MonoOcc: which network the tensors fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.aicnet.network import AicNet
from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.models.comparison.js3cnet.network import Js3cNet
from occdepth_ros.models.comparison.lmscnet.config import LmscNetConfig
from occdepth_ros.models.comparison.lmscnet.network import LmscNet
from occdepth_ros.models.edge.config import PRESETS as EDGE_PRESETS
from occdepth_ros.models.edge.network import OccDepthEdge
from occdepth_ros.models.edge_bev.config import PRESETS as EDGE_BEV_PRESETS
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.loading.recognition import Published, Shapes, fits_nothing, fitting, shapes_of
from occdepth_ros.models.loading.state import State
from occdepth_ros.models.mobilestereonet.depth import NETWORKS
from occdepth_ros.models.qpn.config import PRESETS as QPN_PRESETS
from occdepth_ros.models.qpn.network import QueryProposalNetwork

PROPOSAL_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **NETWORKS,
    **{name: partial(QueryProposalNetwork, config) for name, config in QPN_PRESETS.items()},
}
"""MobileStereoNet and the query proposal network in all configurations."""

NETWORKS_BY_NAME: dict[str, Callable[[], nn.Module]] = {
    **PROPOSAL_NETWORKS,
    **{name: partial(OccDepthEdge, config) for name, config in EDGE_PRESETS.items()},
    **{name: partial(EdgeBev, config) for name, config in EDGE_BEV_PRESETS.items()},
    "lmscnet-stereo": partial(LmscNet, LmscNetConfig()),
    "aicnet-stereo": partial(AicNet, AicNetConfig()),
    "js3cnet-stereo": partial(Js3cNet, Js3cNetConfig()),
}


def recognise(state: State, where: str) -> Published:
    """Find the networks whose tensors have the names and shapes of a checkpoint's.

    Raises:
        CheckpointError: none fits; the text names the closest one.
    """
    networks: dict[str, Shapes] = {name: shapes_of(make) for name, make in NETWORKS_BY_NAME.items()}
    names = fitting(state, networks)
    if not names:
        raise fits_nothing(state, networks, where)
    return Published(tuple(names), state)
