"""Weights as they ship: one safetensors file in half precision whose header says what it is."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from occdepth_ros.errors import CheckpointError
from occdepth_ros.files import write_whole
from occdepth_ros.models.edge.config import PRESETS
from occdepth_ros.models.edge.network import OccDepthEdge
from occdepth_ros.models.loading import check_finite, load_strict, read_state
from occdepth_ros.models.monoocc.config import PRESETS as MONOOCC
from occdepth_ros.models.monoocc.network import MonoOcc

LARGEST = 16_000_000
"""Bytes that a file in the package may have."""
LICENCES = {
    "occdepth-edge": "Apache-2.0",
    "occdepth-edge-kitti": "CC-BY-NC-SA-3.0 AND CC-BY-NC-SA-4.0",
    "monoocc-edge": "Apache-2.0",
}
"""Licence of each model's shipped weights, as an SPDX expression."""
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "occdepth-edge": lambda: OccDepthEdge(PRESETS["occdepth-edge"]),
    "occdepth-edge-kitti": lambda: OccDepthEdge(PRESETS["occdepth-edge-kitti"]),
    "monoocc-edge": lambda: MonoOcc(MONOOCC["monoocc-edge"]),
}
"""What each is the network of."""


@dataclass(frozen=True)
class Packed:
    """A file that was written.

    Args:
        target: the file.
        about: what its header says.
        tensors: number of tensors.
        parameters: number of numbers in them.
        size: bytes.
        sha256: hexadecimal digest of the file.
        worst: largest rounding error of a weight relative to the largest weight of its tensor.
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
        source: safetensors or a state dict of torch.save; never executed.
        target: the file to write; it appears whole or not at all.
        model: the name to ship under; None takes what the source's header says.
        recipe: the recipe it was trained by; None takes the one named like the model.

    Raises:
        CheckpointError: the source is damaged, of another network, or does not say which model it is; or the result
            is too large for the package.
        OutputError: the target cannot be written.
    """
    state = read_state(source)
    model = model or header_of(source).get("model", "")
    if model not in LICENCES:
        known = ", ".join(LICENCES)
        raise CheckpointError(
            f"its header names the model {model!r}, which does not ship" if model else "its header names no model",
            where=str(source),
            remedy=f"Say which one it is: --model NAME, one of {known}.",
        )
    load_strict(NETWORKS[model](), state, where=str(source))
    packed = {name: halved(tensor) for name, tensor in state.items()}
    check_finite(packed, str(source))
    about = {"model": model, "licence": LICENCES[model], "recipe": recipe or f"{model}.yaml"}
    content = _sorted_header(save(packed, about))
    if len(content) > LARGEST:
        raise CheckpointError(
            f"{len(content)} bytes are more than the {LARGEST} that ship",
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


def halved(tensor: torch.Tensor) -> torch.Tensor:
    """Kernels and matrices as float16; the rest as it is, float32 at most.

    Biases and statistics of batch norm are a hundredth of the numbers, and variances may be larger than float16 holds.
    """
    if not tensor.is_floating_point():
        return tensor.contiguous()
    is_large = bool(tensor.abs().max() > torch.finfo(torch.float16).max) if tensor.numel() else False
    return tensor.to(torch.float32 if tensor.dim() < 2 or is_large else torch.float16).contiguous()


def header_of(path: Path) -> dict[str, str]:
    """Metadata in the header of a safetensors file; empty for files of other formats.

    Raises:
        CheckpointError: the header is damaged.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, "pt") as file:  # type: ignore[no-untyped-call]
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the header cannot be read ({error})", where=str(path)) from error


def _sorted_header(content: bytes) -> bytes:
    """The same file with its header in order: the writer lays the metadata out in a different one each time."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def _rounding(before: torch.Tensor, after: torch.Tensor) -> float:
    if not after.is_floating_point() or not after.numel():
        return 0.0
    return float((before.float() - after.float()).abs().max() / before.float().abs().max().clamp_min(1e-12))
