"""Free space without a match behind it is unknown, for every model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.engine import Engine
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.models.registry import MODELS, ModelEntry
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.free_space.guard import FreeSpaceGuard

WIDTH, HEIGHT, FOCAL, BASELINE = 320, 160, 200.0, 0.3
GRID = VoxelGrid((0.0, -3.2, -1.6), (40, 32, 16), 0.2, "base_link")
K = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
RIG = StereoRig(
    PinholeCamera(K @ np.eye(3, 4), WIDTH, HEIGHT),
    PinholeCamera(K @ np.hstack([np.eye(3), np.array([[-BASELINE], [0], [0]])]), WIDTH, HEIGHT),
    np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
)
GUARD = FreeSpaceGuard(RIG, GRID)
Y = GRID.axis_centers(1)


class Optimist:
    """A network that calls everything free and seen, with a depth of 20 m in every pixel."""

    free_space = FreeSpace.UNSUPPORTED

    def __init__(self, name: str, weights: Path | None, device: str) -> None:
        self.name = name

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Nothing to compute."""

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        full = np.full(GRID.size, 200, np.uint8)
        return Occupancy(full * 0, full, full * 0 + int(Visibility.SEEN), self.depth(left))

    def depth(self, left: ImageArray) -> npt.NDArray[np.float32]:
        return np.full(left.shape[:2], 20.0, np.float32)


class WithMatchedDepth(Optimist):
    """The same with a depth that is NaN where nothing is matched."""

    free_space = FreeSpace.MATCHED_DEPTH

    def depth(self, left: ImageArray) -> npt.NDArray[np.float32]:
        return np.where(left[..., 0] > 0, np.float32(20), np.float32(np.nan))


def half_covered_pair() -> tuple[ImageArray, ImageArray]:
    """A textured wall, whose right half both cameras do not see."""
    texture = np.random.default_rng(1).integers(40, 255, (HEIGHT, WIDTH + 10, 1), np.uint8).repeat(3, 2)
    left, right = texture[:, :WIDTH].copy(), texture[:, 10 : WIDTH + 10].copy()
    left[:, WIDTH // 2 :] = 0
    right[:, WIDTH // 2 - 10 :] = 0
    return left, right


@pytest.mark.parametrize("predictor", [Optimist, WithMatchedDepth])
def test_no_voxel_is_free_or_seen_behind_a_covered_half(
    predictor: type[Optimist], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = ModelEntry(f"{__name__}:{predictor.__name__}", "for tests", needs_weights=False)
    monkeypatch.setitem(MODELS, "optimist", entry)
    prediction = Engine(RIG, GRID, model="optimist").predict(*half_covered_pair())
    # y points to the left; the seam of the image halves is left out
    covered, shown = np.s_[10:, Y < -0.6], np.s_[10:, (Y > 0.6) & (Y < 1.2), 5:11]
    in_view = np.zeros(GRID.count, bool)
    in_view[GUARD.unsupported(np.zeros((HEIGHT, WIDTH), bool))] = True
    in_view = in_view.reshape(GRID.size)
    assert in_view[covered].any() and in_view[shown].all()
    assert not (prediction.free & in_view)[covered].any()
    assert not ((prediction.visibility == int(Visibility.SEEN)) & in_view)[covered].any()
    assert prediction.free[shown].all()
    assert (prediction.visibility[shown] == int(Visibility.SEEN)).all()


def test_a_model_that_does_not_say_how_it_limits_free_space_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Optimist, "free_space")
    monkeypatch.setitem(MODELS, "optimist", ModelEntry(f"{__name__}:Optimist", "for tests", needs_weights=False))
    left, right = half_covered_pair()
    prediction = Engine(RIG, GRID, model="optimist").predict(left * np.uint8(0) + 90, right * np.uint8(0) + 90)
    in_view = GUARD.unsupported(np.zeros((HEIGHT, WIDTH), bool))
    assert not prediction.free.reshape(-1)[in_view].any()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_only_free_voxels_become_unknown_and_only_seen_ones_hidden(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    labels = random.choice(np.array([EMPTY, 1, 9, UNKNOWN], np.uint8), GRID.size)
    confidence = random.integers(0, 256, GRID.size, np.uint8)
    visibility = random.integers(0, 3, GRID.size, np.uint8)
    before = labels.copy()
    matched = random.random((HEIGHT // 8, WIDTH // 8)).repeat(8, 0).repeat(8, 1) < share
    found, sure, shown = GUARD.applied(labels, confidence, visibility, matched)
    np.testing.assert_array_equal(labels, before)
    changed = found != labels
    assert (labels[changed] == EMPTY).all() and (found[changed] == UNKNOWN).all() and not sure[changed].any()
    moved = shown != visibility
    assert (visibility[moved] == int(Visibility.SEEN)).all() and (shown[moved] == int(Visibility.HIDDEN)).all()
    np.testing.assert_array_equal(sure[~changed], confidence[~changed])


def test_a_fully_matched_prediction_is_unchanged() -> None:
    assert not len(GUARD.unsupported(np.ones((HEIGHT, WIDTH), bool)))


def test_every_registered_network_states_how_its_free_space_is_limited() -> None:
    for name, entry in MODELS.items():
        kind = getattr(entry.load(), "free_space", FreeSpace.UNSUPPORTED)
        assert isinstance(kind, FreeSpace), name
