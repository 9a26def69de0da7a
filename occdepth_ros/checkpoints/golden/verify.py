"""Verification of a golden file: the family of its network, by a parameter name, and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from occdepth_ros.checkpoints.golden.occdepth import verify_network
from occdepth_ros.checkpoints.golden.occdepth_file import golden_of
from occdepth_ros.checkpoints.golden.part_checks import PartCheck
from occdepth_ros.checkpoints.golden.stored_outputs import StoredOutputs, read_stored


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    Args:
        model: name of the network.
        tensors: number of tensors filled with stand-in weights.
        checks: comparison of every stored part with the network's.
    """

    model: str
    tensors: int
    checks: list[PartCheck]


Verifier = Callable[[StoredOutputs, str], Verification]
"""Compares stored outputs with a network on a device ("cpu", "cuda", ...)."""

FAMILIES: dict[str, str] = {
    "feature_extraction.firstconv.0.conv.0.weight": "occdepth_ros.checkpoints.golden.proposal_networks:verify_stereo",
    "Encoder_block1.0.weight": "occdepth_ros.checkpoints.golden.proposal_networks:verify_qpn",
    "pts_bbox_head.mask_embed.weight": "occdepth_ros.checkpoints.golden.monoocc:verify_monoocc",
    "layers.0.cross_attn_ffn.q_proj.weight": "occdepth_ros.checkpoints.golden.monoocc:verify_cross_view",
    "levels.0.blocks.0.dcn.offset.weight": "occdepth_ros.checkpoints.golden.monoocc:verify_internimage",
}
"""Verifier ("module:name") by a parameter name that only this family has. All other files belong to OccDepth."""


def verify_file(path: Path, *, dataset: Path | None = None, device: str = "cpu") -> Verification:
    """Fill the network of a golden file with stand-in weights, run it in float32, compare every stored part.

    Args:
        path: the golden file.
        dataset: folder of the KITTI odometry sequences, for files whose input is a real frame.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        CheckpointError: the file is damaged, or fits no network of this package.
        SourceError, ImageError: the real frame is missing.
        ModelError: the device does not exist.
    """
    stored = read_stored(path)
    for parameter, target in FAMILIES.items():
        if parameter in stored.shapes:
            module, _, name = target.partition(":")
            verify: Verifier = getattr(import_module(module), name)
            return verify(stored, device)
    golden = golden_of(stored)
    checks = verify_network(golden, dataset=dataset, device=device)
    return Verification(golden.config.name, len(golden.shapes), checks)
