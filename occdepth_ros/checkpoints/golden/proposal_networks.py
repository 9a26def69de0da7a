"""Golden files of MobileStereoNet and of the query proposal network."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from occdepth_ros.checkpoints.golden.filling import fill_state
from occdepth_ros.checkpoints.golden.part_checks import PartCheck, equal_labels, within_range
from occdepth_ros.checkpoints.golden.stored_outputs import StoredOutputs
from occdepth_ros.checkpoints.golden.verify import Verification
from occdepth_ros.checkpoints.other_networks import PROPOSAL_NETWORKS
from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading.recognition import shapes_of
from occdepth_ros.models.loading.state import load_strict
from occdepth_ros.models.mobilestereonet.features import CHANNELS
from occdepth_ros.models.mobilestereonet.network import MULTIPLE, STEP, MobileStereoNet
from occdepth_ros.models.qpn.config import PRESETS
from occdepth_ros.models.qpn.network import QueryProposalNetwork
from occdepth_ros.models.runtime.device import pick_device

TOLERANCE = 1e-3
"""Largest difference of features, disparity and logits, as a fraction of their range."""
LABELS = 0.9999
"""Fraction of the proposals that must be equal."""


def verify_stereo(stored: StoredOutputs, device: str) -> Verification:
    """Compare a stereo network's features and disparity with a golden file.

    Raises:
        CheckpointError: the stored names, shapes or parts do not fit a network.
        ModelError: the device does not exist.
    """
    name = _named(stored)
    where = str(stored.path)
    size = _size_of(stored, "left", 4)
    if size[:2] != (1, 3) or size[2] % MULTIPLE or size[3] % MULTIPLE:
        raise _mismatch(stored, f"left is {list(size)}, not [1, 3, H, W] of multiples of {MULTIPLE}")
    _, _, height, width = size
    stored.expect({"right": size, "disparity": (1, height, width)})
    if _size_of(stored, "feature_l_s2", 4)[1] != CHANNELS:
        raise _mismatch(stored, f"feature_l_s2 has not {CHANNELS} channels")
    network = _filled(name, stored, device)
    assert isinstance(network, MobileStereoNet)
    left, right = (_tensor(stored, key, device) for key in ("left", "right"))
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        features = network.feature_extraction(left)
        disparity = network(left, right)
    checks = [
        within_range(f"features 1/{STEP}", stored.arrays["feature_l_s2"], features, TOLERANCE, where),
        within_range("disparity", stored.arrays["disparity"], disparity, TOLERANCE, where),
    ]
    return Verification(name, len(stored.shapes), checks)


def verify_qpn(stored: StoredOutputs, device: str) -> Verification:
    """Compare the query proposal network's logits and proposals with a golden file.

    Raises:
        CheckpointError: the stored names, shapes or parts do not fit the network.
        ModelError: the device does not exist.
    """
    name = _named(stored)
    where = str(stored.path)
    size = PRESETS[name].grid.size
    count = int(np.prod(size))
    stored.expect({"pseudo": (count // 8,), "half_argmax": (count // 64,)})
    network = _filled(name, stored, device)
    assert isinstance(network, QueryProposalNetwork)
    bits = np.unpackbits(stored.arrays["pseudo"].astype(np.uint8)).reshape(1, *size)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        occupancy = torch.from_numpy(bits).to(pick_device(device), torch.float32)
        logits = network(occupancy)
        proposals = network.proposals(occupancy)[0].cpu().numpy()
    checks: list[PartCheck] = []
    for scale, key in ((2, "half_logits_s4"), (4, "quarter_logits_s4"), (8, "eighth_logits_s2")):
        if scale in logits and key in stored.arrays:
            checks.append(within_range(f"logits 1/{scale}", stored.arrays[key], logits[scale][0], TOLERANCE, where))
    packed = stored.arrays["half_argmax"].astype(np.uint8)
    checks.append(equal_labels(np.unpackbits(packed).reshape(proposals.shape), proposals, LABELS))
    return Verification(name, len(stored.shapes), checks)


def _named(stored: StoredOutputs) -> str:
    """Return the name of the network that the stored names belong to."""
    for name, make in PROPOSAL_NETWORKS.items():
        if shapes_of(make) == stored.shapes:
            return name
    raise CheckpointError(
        f"this golden file's {len(stored.shapes)} tensors fit no configuration of this package",
        where=str(stored.path),
        remedy=f"Supported: {', '.join(PROPOSAL_NETWORKS)}.",
    )


def _filled(name: str, stored: StoredOutputs, device: str) -> nn.Module:
    network = PROPOSAL_NETWORKS[name]().eval()
    load_strict(network, fill_state(stored.shapes, stored.seed), where=str(stored.path))
    return network.to(pick_device(device))


def _tensor(stored: StoredOutputs, key: str, device: str) -> torch.Tensor:
    return torch.from_numpy(stored.arrays[key].astype(np.float32)).to(pick_device(device))


def _size_of(stored: StoredOutputs, key: str, axes: int) -> tuple[int, ...]:
    if key not in stored.arrays or stored.arrays[key].ndim != axes:
        raise _mismatch(stored, f"{key} is missing or has not {axes} axes")
    return tuple(stored.arrays[key].shape)


def _mismatch(stored: StoredOutputs, what: str) -> CheckpointError:
    return CheckpointError(
        f"the golden file's description is inconsistent ({what})",
        where=str(stored.path),
        remedy="Download it again.",
    )
