"""Scores over places: their mean, and bootstrap intervals over places.

Frames of one place are not independent samples. The bootstrap therefore draws whole places with replacement (Efron and
Tibshirani, 1993, percentile interval).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
"""Coverage of the intervals."""
RESAMPLES = 2000
SEED = 0
KEYS = ("sc_iou", "ssc_miou")

Confusion = npt.NDArray[np.int64]


def place_report(confusions: Sequence[Confusion]) -> dict[str, Any]:
    """Summarize the scores of places, percent.

    Args:
        confusions: confusion matrix of each place in voxels, `[true class, predicted class]`.

    Returns:
        `count` of places, `mean` of their scores with its `interval`, and `pooled_interval` of the scores of all voxels
        together; intervals are `[low, high]` by the keys `KEYS`, and missing with fewer than two places.
    """
    stacked = np.stack(confusions).astype(np.float64)
    own = _scores(stacked)
    report: dict[str, Any] = {"count": len(stacked), "mean": _rounded(own.mean(0))}
    if len(stacked) < 2:
        return report
    random = np.random.default_rng(SEED)
    drawn = random.multinomial(len(stacked), np.full(len(stacked), 1 / len(stacked)), RESAMPLES).astype(np.float64)
    pooled = _scores((drawn @ stacked.reshape(len(stacked), -1)).reshape(-1, *stacked.shape[1:]))
    for name, samples in (("interval", drawn @ own / len(stacked)), ("pooled_interval", pooled)):
        bounds = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        report[name] = {key: [round(float(v), 4) for v in bounds[:, at]] for at, key in enumerate(KEYS)}
    return {**report, "level": LEVEL, "resamples": RESAMPLES, "seed": SEED}


def _scores(confusion: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the SC IoU and SSC mIoU of confusion matrices `[N, C, C]`, percent, `[N, 2]`."""
    hit = confusion[:, 1:, 1:].sum((1, 2))
    union = confusion.sum((1, 2)) - confusion[:, 0, 0]
    right = np.diagonal(confusion, axis1=1, axis2=2)
    either = confusion.sum(1) + confusion.sum(2) - right
    classes = np.divide(right, either, out=np.zeros_like(right), where=either > 0)
    geometry = np.divide(hit, union, out=np.zeros_like(hit), where=union > 0)
    return 100 * np.stack([geometry, classes[:, 1:].mean(1)], 1)


def _rounded(values: npt.NDArray[np.float64]) -> dict[str, float]:
    return {key: round(float(value), 4) for key, value in zip(KEYS, values, strict=True)}
