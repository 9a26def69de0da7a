"""Models in the running node: missing and damaged weights, full memory, failing predictions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from helpers.nodes.node_bench import Bench
from occdepth_ros.msg import SemanticGrid
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from occdepth_ros.engine import Engine
from occdepth_ros.errors import ModelError
from occdepth_ros.nodes.stereo_occ import model_host

pytestmark = pytest.mark.ros
SUCCESS = TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize("model", ["occdepth-b3", "occdepth-edge"])
def test_missing_weights_fall_back_by_name(made: list[Bench], tmp_path: Path, model: str) -> None:
    made.append(bench := Bench(model=model, weights=str(tmp_path / "none.ckpt")))
    bench.wait_active()
    bench.expect_fault("checkpoint", "none.ckpt")
    assert "The node continues with stereo-geometry" in bench.diagnostics["model"].message
    assert bench.diagnostics["model"].level == b"\x01"
    bench.good_pair()
    assert "checkpoint" in bench.fault_names(), "a usable pair must not clear the fault of the weights"


def test_a_grid_that_the_network_cannot_predict_falls_back_by_name(made: list[Bench]) -> None:
    made.append(bench := Bench(model="occdepth-edge", weights="random", grid_resolution=0.4))
    bench.wait_active()
    bench.expect_fault("model", "0.2 m voxels")
    assert "The node continues with stereo-geometry instead of occdepth-edge" in bench.diagnostics["model"].message
    bench.good_pair()
    assert bench.pipeline.host.name == "stereo-geometry"


def test_the_network_with_random_weights_predicts_in_the_node(made: list[Bench]) -> None:
    made.append(bench := Bench(model="occdepth-edge-sfa", weights="random"))
    bench.wait_active()
    received = bench.listen(SemanticGrid, "grid")
    bench.good_pair()
    bench.wait(lambda: received, "no grid")
    assert received[-1].model == "occdepth-edge-sfa (random weights)" and not bench.fault_names(without_clock=True)


def test_damaged_weights_without_fallback_wait_for_repair(made: list[Bench], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(b"not a checkpoint" * 100)
    made.append(bench := Bench(model="occdepth-b3", weights=str(damaged), fallback=False))
    bench.expect_fault("checkpoint", "damaged.ckpt")
    assert bench.node.label == "unconfigured"
    results = bench.node.set_parameters([Parameter("model", value="stereo-geometry"), Parameter("weights", value="")])
    assert all(result.successful for result in results)
    assert bench.transition("configure") == SUCCESS and bench.transition("activate") == SUCCESS
    bench.wait_active()
    bench.good_pair()
    assert not bench.fault_names(without_clock=True)


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


class GreedyEngine(Engine):
    """A model that runs out of memory while `full`."""

    full = True

    def __init__(self, rig: Any, grid: Any, *, model: str, weights: Any, device: str) -> None:
        super().__init__(rig, grid)
        self.predictor.name = model

    def begin(self, *images: Any, **options: Any) -> Any:
        if self.predictor.name != "stereo-geometry" and GreedyEngine.full:
            # as the networks of this package report it
            raise ModelError("it does not fit") from OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().begin(*images, **options)


def test_full_gpu_memory_falls_back_and_recovers(made: list[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_host, "Engine", GreedyEngine)
    monkeypatch.setattr(GreedyEngine, "full", True)
    made.append(bench := Bench(model="occdepth-b3", fallback_retry=1.0))
    bench.wait_active()
    assert bench.pipeline.host.name == "occdepth-b3"
    bench.good_pair()
    bench.expect_fault("gpu_memory", "does not fit")
    assert bench.pipeline.host.name == "stereo-geometry"
    monkeypatch.setattr(GreedyEngine, "full", False)
    time.sleep(1.1)
    bench.good_pair()
    assert bench.pipeline.host.name == "occdepth-b3" and "gpu_memory" not in bench.fault_names()


def test_a_model_failure_on_one_pair_is_reported_and_the_node_continues(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = bench.pipeline.host._engine.predictor
    monkeypatch.setattr(predictor, "infer", lambda left, right: 1 / 0)
    bench.send_pair()
    bench.expect_fault("inference", "ZeroDivisionError")
    monkeypatch.undo()
    bench.good_pair()
    assert "inference" not in bench.fault_names()
