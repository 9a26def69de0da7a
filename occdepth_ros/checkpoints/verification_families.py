"""Which family of networks a golden file belongs to, told from its parameter names, and how that is verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from occdepth_ros.checkpoints.golden import golden_of
from occdepth_ros.checkpoints.part_checks import PartCheck
from occdepth_ros.checkpoints.stored_outputs import StoredOutputs, read_stored
from occdepth_ros.checkpoints.verification import verify_network


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Args:
        model: name of the network.
        tensors: number of tensors that were filled.
        checks: every stored part against the network's.
    """

    model: str
    tensors: int
    checks: list[PartCheck]


Verifier = Callable[[StoredOutputs, str], Verification]
"""From stored outputs and a device ("cpu", "cuda", ...) to what was found."""

FAMILIES: dict[str, str] = {
    "feature_extraction.firstconv.0.conv.0.weight": "occdepth_ros.checkpoints.proposal_networks:verify_stereo",
    "Encoder_block1.0.weight": "occdepth_ros.checkpoints.proposal_networks:verify_qpn",
    "pts_bbox_head.mask_embed.weight": "occdepth_ros.checkpoints.monoocc_verification:verify_monoocc",
    "layers.0.cross_attn_ffn.q_proj.weight": "occdepth_ros.checkpoints.monoocc_verification:verify_cross_view",
    "levels.0.blocks.0.dcn.offset.weight": "occdepth_ros.checkpoints.monoocc_verification:verify_internimage",
}
"""By the name of a parameter that only this family has: "module:Verifier". OccDepth's files are all others."""


def verify_file(path: Path, *, dataset: Path | None = None, device: str = "cpu") -> Verification:
    """Fill the network of a golden file with stand-in weights, run it in float32, compare every stored part.

    Args:
        path: the golden file.
        dataset: folder of the KITTI odometry sequences, for files whose input is a real frame.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        CheckpointError: the file is damaged or of no known network, or does not fit it.
        SourceError, ImageError: the real frame is not there.
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
