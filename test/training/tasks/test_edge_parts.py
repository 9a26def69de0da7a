"""Parts of occdepth-edge-sfa's training that need no network: losses, resized ground truth, compiled functions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.scenes import HEIGHT, WIDTH, scene

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.models.images import ImageFit
from occdepth_ros.training.losses.edge_terms import OCCUPIED_WEIGHT, occupancy_terms, weighted_cross_entropy
from occdepth_ros.training.tasks.edge import fused
from occdepth_ros.training.tasks.edge_scenes import resized_ground_truth

pytestmark = pytest.mark.usefixtures("one_thread")


def test_lidar_points_are_kept_at_the_network_s_scale() -> None:
    small = scene()
    large = (2 * HEIGHT, 2 * WIDTH)
    depth, classes = np.full(large, np.nan, np.float32), np.full(large, UNKNOWN, np.uint8)
    # every point lies between the rows and columns that subsampling would select; two of them share a pixel
    for row, column, far, kind in ((1, 1, 9.0, 3), (1, 3, 8.0, 4), (0, 2, 7.0, 5), (41, 51, 30.0, 6)):
        depth[row, column], classes[row, column] = far, kind
    classes[11, 21] = 7
    images: dict[str, Any] = {name: np.zeros((*large, 3), np.uint8) for name in ("left", "right")}
    example = replace(small, rig=small.rig.scaled(2 * WIDTH, 2 * HEIGHT), depth=depth, semantics=classes, **images)
    fit = ImageFit.between(large, (HEIGHT, WIDTH))
    found, kinds = resized_ground_truth(example, fit, (HEIGHT, WIDTH))
    labelled = {(int(r), int(c)): (float(found[r, c]), int(kinds[r, c])) for r, c in np.argwhere(np.isfinite(found))}
    assert labelled == {(0, 0): (9.0, 3), (0, 1): (7.0, 5), (20, 25): (30.0, 6)}
    assert kinds[5, 10] == 7 and (kinds != UNKNOWN).sum() == 4


def test_functions_are_compiled_for_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda _: lambda value: ("fused", value))
    both = fused(lambda value: ("reference", value))
    assert both(1) == ("fused", 1)
    with torch.no_grad():
        assert both(1) == ("reference", 1)


def test_occupancy_is_a_weighted_cross_entropy_over_labelled_voxels() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 4, 4, 2, generator=rng)
    target = torch.randint(0, 3, logits.shape, generator=rng, dtype=torch.uint8)
    target[torch.rand(logits.shape, generator=rng) < 0.3] = UNKNOWN
    labelled, occupied = target != UNKNOWN, ((target > 0) & (target != UNKNOWN)).float()
    entropy, overlap = occupancy_terms(logits, target)
    weight = torch.where(occupied > 0, OCCUPIED_WEIGHT, 1.0)
    expected = F.binary_cross_entropy_with_logits(logits[labelled], occupied[labelled], weight[labelled])
    torch.testing.assert_close(entropy, expected)
    p, y = logits.sigmoid()[labelled], occupied[labelled]
    torch.testing.assert_close(overlap, 1 - ((p * y).sum() + 1) / ((p + y - p * y).sum() + 1))
    sure = torch.where(occupied > 0, 40.0, -40.0)
    assert all(term < 1e-5 for term in occupancy_terms(sure, target))
    assert all(term > 0.9 for term in occupancy_terms(-sure, target))


def test_cross_entropy_of_no_rows_is_zero_with_a_gradient() -> None:
    logits = torch.zeros(0, 19, requires_grad=True)
    loss = weighted_cross_entropy(logits, torch.zeros(0, dtype=torch.int64), torch.ones(19))
    loss.backward()
    assert loss == 0 and logits.grad is not None
