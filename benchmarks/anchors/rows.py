"""Fit the anchors to training scenes, and score them on held-out scenes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.anchors.features import Features, VoxelFeatures
from benchmarks.anchors.prior import BlindPrior
from benchmarks.anchors.trees import BoostedTrees, Sample, draw_sample
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.errors import GridError, SourceError
from occdepth_ros.evaluation.report import SetScores
from occdepth_ros.evaluation.scenes import SceneModel

ROWS = ("blind-prior", "stereo-geometry", "boosted-trees")
FOLDS = 8
"""Maximum number of folds; scenes of one sequence are in one fold."""


class FeatureMaker:
    """Computes features of scenes; the tables are recomputed only if rig or grid change."""

    def __init__(self) -> None:
        self._key = ""

    def of(self, example: SceneExample) -> Features:
        """Return the features of a scene, `[X*Y*Z, F]`."""
        key = f"{example.rig.fingerprint} {example.grid}"
        if key != self._key:
            self._key, self._features = key, VoxelFeatures(example.rig, example.grid)
        return self._features.of(example.left, example.right)


class Anchors:
    """The fitted anchors.

    Args:
        train: training scenes, all on one grid; each is read once.
        seed: seed of the voxel sampling.

    Attributes:
        prior, trees: the fitted models.
        seconds: duration of fitting by part.

    Raises:
        SourceError: there are no scenes.
        GridError: two scenes have different grids.
    """

    def __init__(self, train: SceneDataset, seed: int = 0) -> None:
        if not len(train):
            raise SourceError("the training set is empty", where="training scenes")
        rng = np.random.default_rng(seed)
        maker = FeatureMaker()
        targets, folds = [], []
        places: dict[str, int] = {}
        samples: list[Sample] = []
        clock = [time.perf_counter()]
        for index in range(len(train)):
            example = train[index]
            self._check_grid(example, first=index == 0)
            # a scene without a sequence counts as a separate place
            place = example.name.rpartition("/")[0] or example.name
            folds.append(places.setdefault(place, len(places)) % FOLDS)
            targets.append(example.target)
            samples.append(draw_sample(example, maker.of(example), folds[-1], rng))
        clock.append(time.perf_counter())
        self.prior = BlindPrior(targets, folds)
        clock.append(time.perf_counter())
        self.trees = BoostedTrees(samples, self.prior, seed)
        clock.append(time.perf_counter())
        parts = zip(("features", "prior", "trees"), np.diff(clock), strict=True)
        self.seconds = {name: round(float(seconds), 1) for name, seconds in parts}

    def score(self, test: SceneDataset) -> dict[str, SetScores]:
        """Score every row of `ROWS` on scenes with the same grid.

        The regions `seen` and `completed` are equal for all rows: from the ground truth, or from stereo-geometry.
        """
        scores = {name: SetScores() for name in ROWS}
        maker, model = FeatureMaker(), SceneModel("stereo-geometry")
        blind = self.prior.labels()
        for index in range(len(test)):
            example = test[index]
            self._check_grid(example)
            geometry = model.predict(example)
            regions = model.regions(example, geometry)
            scored = np.flatnonzero(example.target != UNKNOWN)
            trees = self.trees.predict(maker.of(example), scored)
            sequence, _, frame = example.name.rpartition("/")
            for name, labels in zip(ROWS, (blind, geometry.labels, trees.reshape(blind.shape)), strict=True):
                scores[name].add(sequence, frame, labels, example.target, regions)
        return scores

    def _check_grid(self, example: SceneExample, *, first: bool = False) -> None:
        if first:
            self._grid = example.grid
        elif example.grid != self._grid:
            raise GridError(
                f"it lies on {example.grid}, the first scene on {self._grid}",
                where=f"scene {example.name}",
                remedy="A prior by voxel needs one grid: take scenes of one data set.",
            )


def rows(scores: dict[str, SetScores]) -> list[dict[str, Any]]:
    """Return the table, in percent."""
    out = []
    for name, scored in scores.items():
        report = scored.report()
        regions = {region: report["regions"][region]["sc_iou"] for region in ("range_12.8", "range_25.6", "in_view")}
        out.append(
            {
                "anchor": name,
                "frames": report["frames"],
                "SC IoU": report["sc_iou"],
                "precision": report["sc_precision"],
                "recall": report["sc_recall"],
                "SSC mIoU": report["ssc_miou"],
                "IoU 12.8 m": regions["range_12.8"],
                "IoU 25.6 m": regions["range_25.6"],
                "IoU in view": regions["in_view"],
            }
        )
    return out
