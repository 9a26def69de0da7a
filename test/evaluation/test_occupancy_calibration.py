"""Calibration of occupancy by region: fit, limits, reliability on held-out places, and the weights file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from occdepth_ros.checkpoints.calibrated import write_calibration
from occdepth_ros.checkpoints.packing import header_of
from occdepth_ros.errors import CheckpointError
from occdepth_ros.evaluation.occupancy_calibration import (
    FREE,
    REGIONS,
    OccupancyCounts,
    calibrated,
    choose_limits,
    fit_calibration,
    held_out_reliability,
    reliability,
)
from occdepth_ros.models.edge_bev.config import ZONES
from occdepth_ros.models.loading.state import read_state
from occdepth_ros.visualization.reliability import draw_reliability

SCALE, OFFSET = 0.5, -1.0


def counts_of(seed: int, voxels: int = 240_000) -> OccupancyCounts:
    """Voxels occupied with the calibrated probability, nine of ten named right."""
    rng = np.random.default_rng(seed)
    level = rng.integers(1, 255, voxels, dtype=np.uint8)
    occupied = rng.random(voxels) < calibrated(np.array([SCALE, OFFSET]), level)
    ground_truth = np.where(occupied, np.where(rng.random(voxels) < 0.9, 9, 13), 0).astype(np.uint8)
    counts = OccupancyCounts.empty()
    names = np.full(voxels, 9, np.uint8)
    zone = rng.integers(0, ZONES, voxels, dtype=np.uint8)
    counts.add(level, names, np.full(voxels, 229, np.uint8), zone, ground_truth)
    return counts


def test_scale_and_offset_of_the_logit_are_found_in_every_zone() -> None:
    calibration = fit_calibration(counts_of(0))
    assert calibration == pytest.approx(np.tile([SCALE, OFFSET], (ZONES, 1)), abs=0.08)
    assert fit_calibration(OccupancyCounts.empty()) == pytest.approx(np.tile([1.0, 0.0], (ZONES, 1)))


def test_held_out_places_are_calibrated_by_the_others() -> None:
    places = {name: counts_of(seed, 120_000) for seed, name in enumerate(("05", "07", "09"))}
    found = held_out_reliability(places)
    raw = reliability(
        OccupancyCounts.sum(list(places.values())), np.tile([1.0, 0.0], (ZONES, 1)), np.full((ZONES, 2), 0.35)
    )
    for name in REGIONS:
        own = found[name].report()
        assert own["ece"] < 3 < raw[name].report()["ece"]
        assert own["voxels"] == sum(
            int(c.labels.reshape(len(REGIONS), -1)[REGIONS.index(name)].sum()) for c in places.values()
        )
    assert draw_reliability({n: p.report() for n, p in found.items()}, "three places").size[0] > 900


def test_limits_are_ordered_and_free_stays_below_the_requested_probability() -> None:
    counts = counts_of(1)
    calibration = fit_calibration(counts)
    limits = choose_limits(counts, calibration)
    assert (limits[:, 0] <= limits[:, 1]).all() and (limits[:, 0] <= np.repeat(FREE, ZONES // 3)).all()
    # the union of predicted and true voxels is smallest at a limit well below one half
    assert ((limits[:, 1] > 0.05) & (limits[:, 1] < 0.5)).all()
    for part in reliability(counts, calibration, limits).values():
        assert part.report()["occupied_of_free"] < 100 * max(FREE)


def test_only_the_buffers_of_a_weights_file_change(tmp_path: Path) -> None:
    path, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    state = {"calibration": torch.zeros(ZONES, 2), "limits": torch.zeros(ZONES, 2), "x": torch.ones(2).half()}
    save_file(state, path, {"model": "occdepth-edge-kitti"})
    calibration, limits = np.tile([0.5, -1.0], (ZONES, 1)), np.tile([0.05, 0.2], (ZONES, 1))
    write_calibration(path, out, calibration, limits)
    again = read_state(out)
    assert again["calibration"].numpy() == pytest.approx(calibration)
    assert again["limits"].numpy() == pytest.approx(limits)
    assert again["x"].dtype == torch.float16 and header_of(out) == {"model": "occdepth-edge-kitti"}
    save_file({"x": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="no tensor 'calibration'"):
        write_calibration(path, out, calibration, limits)


def test_a_second_ground_truth_moves_the_limits_towards_its_own() -> None:
    def counts(of_occupied: float) -> OccupancyCounts:
        """Voxels of one class and probability level each, a share of them occupied that grows with the level."""
        out = OccupancyCounts.empty()
        level = np.arange(256)
        occupied = (1000 * of_occupied * level / 255).astype(np.int64)
        out.labels[:, level, 9, 9] = occupied
        out.labels[:, level, 0, 9] = 1000 - occupied
        return out

    plain = np.tile([1.0, 0.0], (ZONES, 1))
    dense, sparse = counts(1.0), counts(0.3)
    alone, other = choose_limits(dense, plain)[:, 1], choose_limits(sparse, plain)[:, 1]
    both = choose_limits(dense, plain, additional=sparse)[:, 1]
    assert (alone <= both).all() and (both <= other).all() and alone.sum() < other.sum()
