"""Calibration of a network's occupancy by zone, and the limits between free, unknown and occupied.

The probability is calibrated by a scale and an offset of its logit (Platt, 1999), separately for seen, hidden and
out-of-view voxels and for four ranges of the distance from the camera. All fits use histograms, so memory does not
depend on the number of scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.evaluation.reliability import LEVELS, Reliability
from occdepth_ros.models.edge_bev.config import BANDS_M, ZONES

REGIONS = ("seen", "hidden", "out_of_view")
"""Names of the regions in the order of `occdepth_ros.models.edge_bev.readout`."""
BANDS = len(BANDS_M) + 1
_FROM = (0.0, *BANDS_M)
ZONE_NAMES = tuple(f"{name}_from_{start:g}_m" for name in REGIONS for start in _FROM)
"""Names of the zones in the order of `readout.zones`."""
CERTAINTIES = 64
"""Number of levels of the class probability in the histogram."""
ADDITIONAL_WEIGHT = 0.5
"""Weight of the second ground truth in the choice of the limits."""
MIOU_WEIGHT = 2.5
"""Weight of the SSC mIoU against the SC IoU in the choice of limits; class scores are smaller by about this factor."""
FREE = (0.06, 0.02, 0.06)
"""Default calibrated probabilities below which voxels are free, by region; limited by the limit of occupied."""
CANDIDATES = tuple(range(8, 200, 6))
"""Candidates for the limit of occupied: uncalibrated probabilities times 255."""
MIN_SCALE = 0.05
"""Smallest scale of the logit; the fit of an untrained network could be negative."""
_CLASSES = len(SEMANTIC_KITTI)
_FREE, _MISNAMED, _RIGHT = range(3)

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


@dataclass
class OccupancyCounts:
    """Histograms of one place.

    Args:
        labels: voxels by zone, probability, true class and predicted class, `[ZONES, 256, 20, 20]`.
        certain: voxels by zone, probability, probability of the class, and outcome (free, another class, the predicted
            class), `[ZONES, 256, CERTAINTIES, 3]`.
    """

    labels: Counts
    certain: Counts

    @classmethod
    def empty(cls) -> OccupancyCounts:
        """Return counts without any scene."""
        shape = (ZONES, LEVELS)
        return cls(np.zeros((*shape, _CLASSES, _CLASSES), np.int64), np.zeros((*shape, CERTAINTIES, 3), np.int64))

    @classmethod
    def sum(cls, parts: Sequence[OccupancyCounts]) -> OccupancyCounts:
        """Add the counts of several places."""
        return cls(np.sum([p.labels for p in parts], 0), np.sum([p.certain for p in parts], 0))

    def add(self, probability: Bytes, names: Bytes, certainty: Bytes, zone: Bytes, ground_truth: Bytes) -> None:
        """Add one scene; arguments as in `VoxelProbabilities`, and class ids with 255 = unknown, all `[X, Y, Z]`."""
        labelled = ground_truth != UNKNOWN
        p, name, sure, part, true = (
            values[labelled].astype(np.int64) for values in (probability, names, certainty, zone, ground_truth)
        )
        cell = part * LEVELS + p
        count = np.bincount((cell * _CLASSES + true) * _CLASSES + name, minlength=self.labels.size)
        self.labels += count.reshape(self.labels.shape)
        outcome = np.where(true == EMPTY, _FREE, np.where(true == name, _RIGHT, _MISNAMED))
        cell = cell * CERTAINTIES + sure * CERTAINTIES // LEVELS
        count = np.bincount(cell * 3 + outcome, minlength=self.certain.size)
        self.certain += count.reshape(self.certain.shape)


def logits(level: npt.ArrayLike) -> Floats:
    """Return the finite logits of probabilities times 255."""
    p = np.clip(np.asarray(level, np.float64) / (LEVELS - 1), 0.002, 0.998)
    return np.asarray(np.log(p / (1 - p)))


def fit_calibration(counts: OccupancyCounts) -> Floats:
    """Fit scale and offset of the logit by zone, by maximum likelihood with Newton's method, `[ZONES, 2]`.

    A zone with fewer than 100 free or occupied voxels keeps its probabilities.
    """
    x = logits(np.arange(LEVELS))
    out = np.tile([1.0, 0.0], (ZONES, 1))
    for at, labels in enumerate(counts.labels):
        total = labels.sum((1, 2)).astype(np.float64)
        occupied = labels[:, 1:].sum((1, 2)).astype(np.float64)
        if min(occupied.sum(), (total - occupied).sum()) < 100:
            continue
        for _ in range(40):
            q = 1 / (1 + np.exp(-(out[at, 0] * x + out[at, 1])))
            error, weight = occupied - total * q, total * q * (1 - q)
            gradient = np.array([(error * x).sum(), error.sum()])
            moments = [(weight * x * x).sum(), (weight * x).sum(), weight.sum()]
            hessian = np.array([moments[:2], moments[1:]]) + 1e-6 * np.eye(2)
            out[at] += np.clip(np.linalg.solve(hessian, gradient), -0.5, 0.5)
            # keeps the order of probabilities
            out[at, 0] = max(out[at, 0], MIN_SCALE)
    return out


def calibrated(calibration: Floats, level: npt.ArrayLike) -> Floats:
    """Return calibrated probabilities of one zone for probabilities times 255, by the zone's scale and offset."""
    return np.asarray(1 / (1 + np.exp(-(calibration[0] * logits(level) + calibration[1]))))


class _LimitObjective:
    """Weighted SC IoU + 2.5 SSC mIoU against one ground truth, by the limits of the zones."""

    def __init__(self, counts: OccupancyCounts, weight: float) -> None:
        self._weight = weight
        # confusion matrix of each zone by its limit: voxels below the limit count as free
        self._parts = counts.labels[:, ::-1].cumsum(1)[:, ::-1].copy()
        self._parts[..., 0] += counts.labels.sum(1).sum(-1)[:, None] - self._parts.sum(-1)

    def by_limit(self, chosen: Sequence[int], at: int) -> dict[int, float]:
        """Return the objective for each candidate limit of the zone `at` and for its chosen limit; others stay."""
        others = np.sum([self._parts[zone, level] for zone, level in enumerate(chosen) if zone != at], 0)
        return {level: self._score(others + self._parts[at, level]) for level in (chosen[at], *CANDIDATES)}

    def _score(self, confusion: Counts) -> float:
        hit = np.diag(confusion)
        classes = hit / np.maximum(confusion.sum(0) + confusion.sum(1) - hit, 1)
        geometry = confusion[1:, 1:].sum() / max(int(confusion.sum() - confusion[0, 0]), 1)
        return self._weight * float(geometry + MIOU_WEIGHT * classes[1:].mean())


def choose_limits(
    counts: OccupancyCounts,
    calibration: Floats,
    free: Sequence[float] = FREE,
    additional: OccupancyCounts | None = None,
) -> Floats:
    """Choose the calibrated probabilities below which a voxel is free and from which it is occupied, `[ZONES, 2]`.

    The limits of occupied maximize SC IoU + 2.5 SSC mIoU of all zones together, one zone after another. Voxels
    between the limits count as free in these scores.

    Ground truths differ in the voxels that they label: a ground truth merged from few scans has little hidden free
    space, so that limits chosen on it alone fill hidden space. The scores of `additional` have half the weight of those
    of `counts`.

    Args:
        counts: counts of scenes reserved for this choice.
        calibration: see `fit_calibration`.
        free: largest limit of free by region.
        additional: counts of the same predictions against another ground truth; None = only `counts`.
    """
    ground_truths = [(counts, 1.0)] if additional is None else [(counts, 1.0), (additional, ADDITIONAL_WEIGHT)]
    chosen = [92] * ZONES
    objectives = [_LimitObjective(each, weight) for each, weight in ground_truths]
    for _ in range(3):
        before = list(chosen)
        for at in range(ZONES):
            scored = [objective.by_limit(chosen, at) for objective in objectives]
            options = (chosen[at], *CANDIDATES)
            chosen[at] = max(options, key=lambda level: sum(scores[level] for scores in scored))
        if chosen == before:
            break
    high = [float(calibrated(calibration[at], level - 0.5)) for at, level in enumerate(chosen)]
    return np.array([[min(low, limit), limit] for low, limit in zip(np.repeat(free, BANDS), high, strict=True)])


def reliability(counts: OccupancyCounts, calibration: Floats, limits: Floats) -> dict[str, Reliability]:
    """Return the calibration of the labels by region with given calibration and limits."""
    share = (np.arange(CERTAINTIES) + 0.5) / CERTAINTIES
    out = {name: Reliability() for name in REGIONS}
    for at in range(ZONES):
        part = out[REGIONS[at // BANDS]]
        probability = calibrated(calibration[at], np.arange(LEVELS))
        for level, certain in zip(probability, counts.certain[at], strict=True):
            empty, occupied = int(certain[:, _FREE].sum()), int(certain[:, 1:].sum())
            part.voxels += [empty, occupied]
            if level >= limits[at, 1]:
                confidence = np.rint(level * share * (LEVELS - 1)).astype(np.int64)
                np.add.at(part.counts[1], confidence, certain[:, _RIGHT])
                np.add.at(part.counts[0], confidence, certain[:, _FREE] + certain[:, _MISNAMED])
            elif level < limits[at, 0]:
                part.counts[:, round((1 - level) * (LEVELS - 1))] += [occupied, empty]
                part.free += [empty, occupied]
            else:
                part.unknown += [empty, occupied]
    return out


def held_out_reliability(places: dict[str, OccupancyCounts], free: Sequence[float] = FREE) -> dict[str, Reliability]:
    """Return the summed reliability of two or more places, each with calibration and limits of the other places."""
    total = {name: Reliability() for name in REGIONS}
    for name, counts in places.items():
        others = OccupancyCounts.sum([c for other, c in places.items() if other != name])
        calibration = fit_calibration(others)
        for region, part in reliability(counts, calibration, choose_limits(others, calibration, free)).items():
            total[region].counts += part.counts
            total[region].voxels += part.voxels
            total[region].unknown += part.unknown
            total[region].free += part.free
    return total
