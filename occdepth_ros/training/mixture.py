"""Mixture of several data sets, each with its share of the scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.errors import TrainingError

GOLDEN = (math.sqrt(5) - 1) / 2
"""Golden ratio conjugate; its multiples modulo 1 are evenly distributed over every interval."""


@dataclass(frozen=True)
class Mixture:
    """Sizes and shares of several data sets.

    Args:
        sizes: number of scenes of each data set.
        shares: fraction of the training scenes from each data set; they add up to 1.

    Raises:
        TrainingError: a data set is empty, a share is not above 0, or the shares do not add up to 1.
    """

    sizes: tuple[int, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) == 0:
            raise TrainingError("the training set is empty", where="dataset", remedy="Give sequences with labels.")
        if len(self.sizes) != len(self.shares) or not all(0 < share <= 1 for share in self.shares):
            raise TrainingError(
                f"shares of {', '.join(f'{share:g}' for share in self.shares)} for {len(self.sizes)} data sets",
                where="shares",
                remedy="Give each data set a share above 0.",
            )
        if abs(sum(self.shares) - 1) > 1e-6:
            raise TrainingError(
                f"shares add up to {sum(self.shares):g}, not to 1", where="shares", remedy="Give shares below 1 in all."
            )

    @classmethod
    def of(cls, scenes: SceneDataset) -> Mixture:
        """Return the mixture of a data set; a single data set has the share 1."""
        return scenes.mixture if isinstance(scenes, MixedScenes) else cls((len(scenes),), (1.0,))

    @property
    def scenes(self) -> int:
        """Scenes of all data sets together."""
        return sum(self.sizes)

    def turns(self, count: int) -> npt.NDArray[np.int64]:
        """Return the index of the data set at each of the first `count` positions, `[count]`.

        Over any part of the order, each data set deviates from its share by a few scenes at most. The order depends
        only on the shares.
        """
        bounds = np.cumsum(self.shares)[:-1]
        return np.searchsorted(bounds, (0.5 + GOLDEN * np.arange(count)) % 1, side="right").astype(np.int64)


class MixedScenes:
    """Concatenated scenes of several data sets (a `SceneDataset`).

    Args:
        parts: the data sets.
        shares: see `Mixture`.
        terms: names of the loss terms that each data set supervises, see `SceneExample.terms`; None = all terms of all
            data sets.

    Raises:
        TrainingError: a data set is empty, or a share is invalid.
    """

    def __init__(
        self,
        parts: Sequence[SceneDataset],
        shares: Sequence[float],
        terms: Sequence[frozenset[str] | None] | None = None,
    ) -> None:
        self.parts = tuple(parts)
        self.terms = tuple(terms) if terms is not None else (None,) * len(self.parts)
        self.mixture = Mixture(tuple(map(len, parts)), tuple(shares))
        self._ends = list(accumulate(self.mixture.sizes))

    def __len__(self) -> int:
        return self.mixture.scenes

    def __getitem__(self, index: int) -> SceneExample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = int(np.searchsorted(self._ends, index, side="right"))
        example = self.parts[part][index - self._ends[part] + self.mixture.sizes[part]]
        return example if self.terms[part] is None else replace(example, terms=self.terms[part])
