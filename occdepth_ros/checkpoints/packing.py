"""Packing of weights for shipping: a safetensors file in half precision with licence and recipe in its header."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from occdepth_ros.errors import CheckpointError
from occdepth_ros.files import write_whole
from occdepth_ros.models.edge.config import PRESETS
from occdepth_ros.models.edge.network import OccDepthEdge
from occdepth_ros.models.edge_bev.config import PRESETS as EDGE_BEV
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.loading.safetensors_file import read_metadata
from occdepth_ros.models.loading.state import check_finite, load_strict, read_state
from occdepth_ros.models.monoocc.config import PRESETS as MONOOCC
from occdepth_ros.models.monoocc.network import MonoOcc

MAX_BYTES = 16_000_000
"""Largest size of a weights file in the package, bytes."""
_KITTI_LICENCES = "CC-BY-NC-SA-3.0 AND CC-BY-NC-SA-4.0 AND LicenseRef-Cityscapes"
LICENCES = {
    "occdepth-edge": "Apache-2.0",
    "occdepth-edge-sfa": "Apache-2.0",
    "occdepth-edge-kitti": _KITTI_LICENCES,
    "monoocc-edge": "Apache-2.0",
    "monoocc-edge-kitti": _KITTI_LICENCES,
}
"""Licence of each model's shipped weights, as an SPDX expression."""
HALF_VECTORS = frozenset({"occdepth-edge", "occdepth-edge-kitti"})
"""Models whose vectors are stored in half precision, too: their file would exceed `MAX_BYTES` otherwise."""
SINGLE_VECTORS = (".running_var", "limits", "calibration", "inverse_depth_error")
"""Name suffixes of tensors that keep single precision in these models: they span several orders of magnitude."""
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "occdepth-edge": lambda: EdgeBev(EDGE_BEV["occdepth-edge"]),
    "occdepth-edge-sfa": lambda: OccDepthEdge(PRESETS["occdepth-edge-sfa"]),
    "occdepth-edge-kitti": lambda: EdgeBev(EDGE_BEV["occdepth-edge-kitti"]),
    "monoocc-edge": lambda: MonoOcc(MONOOCC["monoocc-edge"]),
    "monoocc-edge-kitti": lambda: MonoOcc(MONOOCC["monoocc-edge-kitti"]),
}
"""Constructor of each network."""


@dataclass(frozen=True)
class Packed:
    """Result of packing.

    Args:
        target: the file.
        about: entries of its header.
        tensors: number of tensors.
        parameters: number of values in them.
        size: bytes.
        sha256: hexadecimal digest of the file.
        worst: largest rounding error of a value, relative to the largest value of its tensor.
    """

    target: Path
    about: Mapping[str, str]
    tensors: int
    parameters: int
    size: int
    sha256: str
    worst: float


def pack(source: Path, target: Path, *, model: str | None = None, recipe: str | None = None) -> Packed:
    """Write weights of a model that ships in half precision; equal weights give equal bytes.

    Args:
        source: safetensors or a state dict of torch.save; no code in it is executed.
        target: the file to write; written completely or not at all.
        model: name to ship under; None takes the name in the header of the source.
        recipe: recipe of the training; None takes the recipe named like the model.

    Raises:
        CheckpointError: the source is damaged, of another network, or names no model; or the result is too large for
            the package.
        OutputError: the target cannot be written.
    """
    state = read_state(source)
    model = model or header_of(source).get("model", "")
    if model not in LICENCES:
        names = ", ".join(LICENCES)
        raise CheckpointError(
            f"its header names the model {model!r}, which does not ship" if model else "its header names no model",
            where=str(source),
            remedy=f"Name the model: --model NAME, one of {names}.",
        )
    load_strict(NETWORKS[model](), state, where=str(source))
    half_vectors = model in HALF_VECTORS
    packed = {
        name: halved(tensor, vectors=half_vectors and not name.endswith(SINGLE_VECTORS))
        for name, tensor in state.items()
    }
    check_finite(packed, str(source))
    about = {"model": model, "licence": LICENCES[model], "recipe": recipe or f"{model}.yaml"}
    content = _sorted_header(save(packed, about))
    if len(content) > MAX_BYTES:
        raise CheckpointError(
            f"{len(content)} bytes are more than the {MAX_BYTES} that ship",
            where=str(source),
            remedy="Ship a smaller network.",
        )
    write_whole(target, content)
    return Packed(
        target,
        about,
        len(packed),
        sum(tensor.numel() for tensor in packed.values()),
        len(content),
        hashlib.sha256(content).hexdigest(),
        max(_rounding(state[name], packed[name]) for name in packed),
    )


def halved(tensor: torch.Tensor, *, vectors: bool = False) -> torch.Tensor:
    """Convert kernels and matrices to float16, and the other tensors to float32 at most.

    Biases and batch-norm statistics are 1 % of the values, and variances may exceed the range of float16.

    Args:
        tensor: the tensor.
        vectors: whether vectors become float16, too.
    """
    if not tensor.is_floating_point():
        return tensor.contiguous()
    is_large = bool(tensor.abs().max() > torch.finfo(torch.float16).max) if tensor.numel() else False
    return tensor.to(torch.float32 if (tensor.dim() < 2 and not vectors) or is_large else torch.float16).contiguous()


def header_of(path: Path) -> dict[str, str]:
    """Return the metadata in the header of a safetensors file; empty for files of other formats.

    Raises:
        CheckpointError: the header is damaged.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        return read_metadata(path)
    except (ValueError, OSError) as error:
        raise CheckpointError(f"the header cannot be read ({error})", where=str(path)) from error


def _sorted_header(content: bytes) -> bytes:
    """Return the file with a sorted header, because the order in which the writer stores the metadata varies."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def _rounding(before: torch.Tensor, after: torch.Tensor) -> float:
    if not after.is_floating_point() or not after.numel():
        return 0.0
    return float((before.float() - after.float()).abs().max() / before.float().abs().max().clamp_min(1e-12))
