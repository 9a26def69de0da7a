"""Deterministic stand-in weights: each tensor follows from its name and shape by the rule of the golden files.

NumPy only, so that all machines and versions of PyTorch compute the same values.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch


def fill_tensor(name: str, shape: Sequence[int], seed: int = 0) -> torch.Tensor:
    """Return the stand-in weights of the tensor `name`: float32, or int64 zeros for batch counters.

    Each tensor has its own generator, seeded by `seed` and the CRC-32 of its name; the first draw is one
    standard normal value per element, scaled and shifted by a rule for the kind of tensor.
    """
    shape = tuple(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    noise = generator.standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        # the only case with a second draw
        return torch.from_numpy(np.asarray(0.75 + 0.5 * generator.random(shape), np.float32))
    scale, offset = _scale_and_offset(name, shape)
    return torch.from_numpy(np.asarray(np.float32(offset) + np.float32(scale) * noise, np.float32))


def _scale_and_offset(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if name.endswith("running_mean"):
        return 0.1, 0.0
    if "sampling_offsets.bias" in name:
        return 2.0, 0.0
    if name.endswith(".offset.bias"):
        return 0.5, 0.0
    if "gamma" in name:
        return 0.1, 0.5
    if len(shape) == 1 and name.endswith("weight"):
        return 0.1, 1.0
    if len(shape) <= 1:
        return 0.1, 0.0
    if "embed" in name:
        return 0.5, 0.0
    # variance 1.6 / fan-in: between the 1 of a linear and the 2 of a ReLU network
    return math.sqrt(1.6 / math.prod(shape[1:])), 0.0


def fill_state(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the stand-in tensors for every name of `shapes`."""
    return {name: fill_tensor(name, shape, seed) for name, shape in shapes.items()}
