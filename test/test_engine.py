"""The engine: image checks, calibration changes, and the registered models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.networks.weights import shipped_weights

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.engine import Engine, one_ahead
from occdepth_ros.errors import CalibrationError, ImageError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.registry import DEFAULT_MODEL, FALLBACK_MODEL, MODELS, ModelEntry, create_predictor

GRID = VoxelGrid((0, 0, 0), (4, 5, 6), 0.2)


def make_rig(width: int = 64, height: int = 32) -> StereoRig:
    k = np.array([[50.0, 0, width / 2], [0, 50, height / 2], [0, 0, 1]])
    shift = np.eye(3, 4)
    shift[0, 3] = -0.5
    return StereoRig(PinholeCamera(k @ np.eye(3, 4), width, height), PinholeCamera(k @ shift, width, height), np.eye(4))


class Fake:
    """A predictor that records its calibrations."""

    def __init__(self, name: str, weights: Path | None, device: str) -> None:
        self.name, self.weights, self.device = name, weights, device
        self.calibrations: list[tuple[StereoRig, VoxelGrid]] = []

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        if rig.left.width < 10:
            raise CalibrationError("too small")
        self.calibrations.append((rig, grid))

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        zeros = np.zeros(GRID.size, np.uint8)
        return Occupancy(
            zeros + left[0, 0, 0], zeros + right[0, 0, 0], zeros, np.ones((32, 64), np.float32), {"a": 1.5}
        )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(MODELS, "fake", ModelEntry(f"{__name__}:Fake", "for tests", needs_weights=False))
    return "fake"


def image(value: int, shape: tuple[int, ...] = (32, 64, 3)) -> ImageArray:
    return np.full(shape, value, np.uint8)


def test_predictions_contain_the_arrays_stamp_model_and_timings(fake: str) -> None:
    engine = Engine(make_rig(), GRID, model=fake, weights=Path("w.npz"), device="cpu")
    made = engine.predictor
    assert isinstance(made, Fake)
    assert (made.name, made.weights, made.device) == ("fake", Path("w.npz"), "cpu")
    assert made.calibrations == [(engine.rig, GRID)]
    prediction = engine.predict(image(9), image(4), stamp_ns=7)
    assert (prediction.labels == 9).all()
    assert (prediction.confidence == 4).all()
    assert (prediction.grid, prediction.stamp_ns, prediction.model) == (GRID, 7, "fake")
    assert prediction.timings_ms["a"] == 1.5
    assert prediction.timings_ms["total"] > 0


class Remembering(Fake):
    """A stateful predictor."""

    def set_pose(self, world_from_grid: np.ndarray | None) -> None:
        self.placed = world_from_grid


def test_stateful_predictors_receive_the_pose_of_the_pair(fake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(make_rig(), GRID, model=fake, device="cpu")
    engine.predict(image(1), image(1), world_from_grid=np.eye(4))  # ignored by stateless predictors
    monkeypatch.setitem(MODELS, "fake", ModelEntry(f"{__name__}:Remembering", "for tests", needs_weights=False))
    engine = Engine(make_rig(), GRID, model=fake, device="cpu")
    engine.predict(image(1), image(1), world_from_grid=(pose := 2 * np.eye(4)))
    assert isinstance(engine.predictor, Remembering) and engine.predictor.placed is pose
    engine.predict(image(1), image(1))
    assert engine.predictor.placed is None


class Staged(Fake):
    """A predictor in two stages that records what it does."""

    done: list[str]

    def begin(self, left: ImageArray, right: ImageArray) -> Callable[[], Occupancy]:
        self.done = [*getattr(self, "done", []), f"begin {left[0, 0, 0]}"]

        def complete() -> Occupancy:
            self.done.append(f"complete {left[0, 0, 0]}")
            return self.infer(left, right)

        return complete


@pytest.mark.parametrize("kind", ["Fake", "Staged"])
def test_a_pair_may_begin_before_the_one_before_is_completed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(MODELS, "fake", ModelEntry(f"{__name__}:{kind}", "for tests", needs_weights=False))
    engine = Engine(make_rig(), GRID, model="fake", device="cpu")
    first = engine.begin(image(1), image(2), stamp_ns=5)
    moved = VoxelGrid((1, 0, 0), GRID.size, GRID.resolution)
    engine.calibrate(make_rig(), moved)
    second = engine.begin(image(3), image(4), stamp_ns=6)
    results = [first(), second()]
    assert [(r.stamp_ns, r.labels.max(), r.grid) for r in results] == [(5, 1, GRID), (6, 3, moved)]
    assert all({"a", "free_space", "total"} == r.timings_ms.keys() for r in results)
    if isinstance(engine.predictor, Staged):
        assert engine.predictor.done == ["begin 1", "begin 3", "complete 1", "complete 3"]


@pytest.mark.parametrize(
    "wrong",
    [
        image(0, (32, 63, 3)),
        image(0, (33, 64, 3)),
        image(0, (32, 64)),
        image(0, (32, 64, 4)),
        np.zeros((32, 64, 3), np.float32),
        image(0, (0, 0, 3)),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_images_that_do_not_match_the_calibration_are_refused(fake: str, wrong: ImageArray, side: str) -> None:
    engine = Engine(make_rig(), GRID, model=fake)
    pair = {"left": image(1), "right": image(1)} | {side: wrong}
    with pytest.raises(ImageError, match=f"{side} image: the image is .* the calibration requires"):
        engine.predict(pair["left"], pair["right"])
    assert (engine.predict(image(1), image(1)).labels == 1).all()


def test_a_refused_calibration_keeps_the_previous_one(fake: str) -> None:
    engine = Engine(make_rig(), GRID, model=fake)
    first = engine.rig
    with pytest.raises(CalibrationError, match="too small"):
        engine.calibrate(make_rig(8, 8))
    assert engine.rig is first
    engine.predict(image(1), image(1))


def test_unknown_models_are_refused() -> None:
    with pytest.raises(ModelError, match=r"no model 'occdepth-b9'.*Choose one of .*stereo-geometry"):
        create_predictor("occdepth-b9")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_can_be_imported(name: str) -> None:
    assert callable(MODELS[name].load())


@pytest.mark.parametrize("name", [DEFAULT_MODEL, FALLBACK_MODEL])
def test_default_and_fallback_need_no_weights_from_the_user(name: str) -> None:
    assert not MODELS[name].needs_weights
    if name != FALLBACK_MODEL:
        shipped_weights(name)
    assert create_predictor(name, device="cpu").name == name


def test_each_item_comes_when_the_next_one_exists_and_none_is_lost_before_an_error() -> None:
    made: list[int] = []

    def items(last: int) -> Iterator[int]:
        for item in range(last):
            made.append(item)
            yield item
        if last == 2:
            raise ImageError("damaged")

    assert [(item, made[-1]) for item in one_ahead(items(3))] == [(0, 1), (1, 2), (2, 2)]
    assert list(one_ahead(items(0))) == []
    seen = []
    with pytest.raises(ImageError, match="damaged"):
        for item in one_ahead(items(2)):
            seen.append(item)
    assert seen == [0, 1]
