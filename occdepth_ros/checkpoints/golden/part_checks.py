"""Comparison of one part of a network with its stored values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.errors import CheckpointError


@dataclass(frozen=True)
class PartCheck:
    """Comparison of one part of the network with its golden values.

    Args:
        part: its name.
        max_difference, mean_difference: absolute; NaN for labels.
        value: quantity that the rule compares with the limit.
        limit: bound of the rule.
        rule: the quantity, and the side of the bound on which it must lie.
    """

    part: str
    max_difference: float
    mean_difference: float
    value: float
    limit: float
    rule: str

    @property
    def passed(self) -> bool:
        """Whether the part agrees; NaN does not."""
        return bool(self.value >= self.limit if ">=" in self.rule else self.value <= self.limit)


def differences(stored: npt.NDArray[Any], value: torch.Tensor, where: str) -> tuple[npt.NDArray[np.float64], float]:
    """Return absolute differences to a stored excerpt, in its shape, and the range of the excerpt.

    Golden files keep every n-th element along each axis, from the first on; n follows from the shapes.

    Raises:
        CheckpointError: the stored array is not such an excerpt.
    """
    steps = [-(-have // max(kept, 1)) for have, kept in zip(value.shape, stored.shape, strict=False)]
    excerpt = value[tuple(slice(None, None, n) for n in steps)]
    if excerpt.shape != stored.shape:
        raise CheckpointError(
            f"a stored part has the shape {stored.shape}, which is no regular excerpt of {tuple(value.shape)}",
            where=where,
        )
    numbers = stored.astype(np.float64)
    return np.abs(excerpt.cpu().numpy().astype(np.float64) - numbers), float(np.ptp(numbers)) or 1.0


def within_range(part: str, stored: npt.NDArray[Any], value: torch.Tensor, limit: float, where: str) -> PartCheck:
    """Check that the largest difference is at most `limit` times the stored excerpt's range."""
    difference, span = differences(stored, value, where)
    largest, mean = float(difference.max()), float(difference.mean())
    return PartCheck(part, largest, mean, largest / span, limit, "max / range <=")


def equal_labels(stored: npt.NDArray[Any], labels: npt.NDArray[Any], limit: float) -> PartCheck:
    """Check that the labels of at least a fraction `limit` of the voxels are equal."""
    equal = float((labels == stored).mean())
    return PartCheck("labels", float("nan"), float("nan"), equal, limit, "equal >=")
