"""Gradient-boosted trees on voxel features: a baseline without a network that is fitted in a minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.anchors.features import NAMES, Features
from benchmarks.anchors.prior import STEPS, BlindPrior, best_threshold
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.example import SceneExample

LABELLED_PER_SCENE, OCCUPIED_PER_SCENE = 16000, 8000
"""Number of voxels of a scene to which occupancy and classes are fitted."""
TREES, CLASS_TREES = 150, 60
"""Boosting rounds; each round of the classes grows one tree per class."""


@dataclass(frozen=True)
class Sample:
    """Sampled voxels of one training scene.

    Args:
        fold: the scene's fold, see `BlindPrior`.
        labelled, occupied: features `[N, len(NAMES)]` of random labelled voxels, and of random occupied voxels.
        at_labelled, at_occupied: flat indices of these voxels, `[N]`.
        labels, occupied_labels: their class ids, `[N]`.
    """

    fold: int
    labelled: Features
    at_labelled: npt.NDArray[np.intp]
    labels: npt.NDArray[np.uint8]
    occupied: Features
    at_occupied: npt.NDArray[np.intp]
    occupied_labels: npt.NDArray[np.uint8]


def draw_sample(example: SceneExample, features: Features, fold: int, rng: np.random.Generator) -> Sample:
    """Sample labelled voxels, and occupied voxels, of a scene uniformly."""
    labels = example.target.ravel()

    def chosen(of: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.intp]:
        places = np.flatnonzero(of)
        return np.sort(rng.choice(places, min(count, len(places)), replace=False))

    labelled = chosen(labels != UNKNOWN, LABELLED_PER_SCENE)
    occupied = chosen((labels != UNKNOWN) & (labels != EMPTY), OCCUPIED_PER_SCENE)
    return Sample(fold, features[labelled], labelled, labels[labelled], features[occupied], occupied, labels[occupied])


class BoostedTrees:
    """Predicts occupancy, then the class of occupied voxels, each voxel independently.

    The blind prior is a feature, too; for training scenes it is computed from the other folds.

    Args:
        samples: voxels of the training scenes.
        prior: blind prior of the same scenes.
        seed: seed of the fit.
    """

    def __init__(self, samples: Sequence[Sample], prior: BlindPrior, seed: int = 0) -> None:
        self._prior = prior
        parts = []
        for fold in sorted({sample.fold for sample in samples}):
            occupancy, classes = prior.without(fold)
            for sample in samples:
                if sample.fold == fold:
                    labelled = _joined(sample.labelled, sample.at_labelled, occupancy, classes)
                    occupied = _joined(sample.occupied, sample.at_occupied, occupancy, classes)
                    parts.append((fold, labelled, sample.labels != EMPTY, occupied, sample.occupied_labels))
        folds = np.concatenate([np.full(len(part[1]), part[0]) for part in parts])
        labelled, is_occupied, occupied, labels = (np.concatenate([part[i] for part in parts]) for i in range(1, 5))
        self.threshold = _held_out_threshold(labelled, is_occupied, folds, seed)
        self._occupancy = _classifier(TREES, seed).fit(labelled, is_occupied)
        self._classes = _classifier(CLASS_TREES, seed).fit(occupied, labels)

    def predict(self, features: Features, at: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """Predict class ids of a scene, `[X*Y*Z]`; voxels that are not requested are free.

        Args:
            features: features of all voxels, `[X*Y*Z, len(NAMES)]`.
            at: flat indices of the voxels to predict, `[N]`; each takes microseconds.
        """
        asked = _joined(features[at], at, self._prior.occupancy, self._prior.classes)
        occupied = np.flatnonzero(self._occupancy.predict_proba(asked)[:, 1] > self.threshold)
        labels = np.zeros(len(features), np.uint8)
        if len(occupied):
            labels[at[occupied]] = self._classes.predict(asked[occupied])
        return labels


def _joined(
    features: Features,
    at: npt.NDArray[np.intp],
    occupancy: npt.NDArray[np.float32],
    classes: npt.NDArray[np.uint8],
) -> Features:
    return np.column_stack([features, occupancy[at], classes[at].astype(np.float32)])


def _classifier(rounds: int, seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=rounds,
        max_leaf_nodes=31,
        min_samples_leaf=50,
        early_stopping=False,
        categorical_features=[len(NAMES) + 1],
        random_state=seed,
    )


def _held_out_threshold(
    labelled: Features, is_occupied: npt.NDArray[np.bool_], folds: npt.NDArray[np.intp], seed: int
) -> float:
    """Return the threshold with the highest SC IoU on a quarter of the folds, for trees fitted to the others."""
    numbers = np.unique(folds)
    held_out = np.isin(folds, numbers[::4])
    if len(numbers) < 2:
        return 0.5
    fitted = _classifier(TREES, seed).fit(labelled[~held_out], is_occupied[~held_out])
    level = np.rint(STEPS * fitted.predict_proba(labelled[held_out])[:, 1]).astype(np.intp)
    free, occupied = (np.bincount(level[is_occupied[held_out] == kind], minlength=STEPS + 1) for kind in (False, True))
    return best_threshold(free, occupied)
