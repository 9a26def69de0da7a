"""Tests on a GPU: placement, number formats, repeatability, exported models. Skipped without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from helpers.networks.exports import GRID, occdepth_export, pair, rig_of, small_preset
from helpers.networks.weights import shipped_weights
from safetensors.torch import save_file

from occdepth_ros.engine import Engine
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.predictor import EdgePredictor
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.optimized.network import Precision
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor
from occdepth_ros.models.predictor import Occupancy
from occdepth_ros.models.runtime.device import pick_device
from occdepth_ros.sources import open_source

NAME, SIZE = "occdepth-b3", (64, 192)
NEAR = VoxelGrid((0.0, -12.8, -2.0), (128, 128, 32), 0.2)

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with small_preset(NAME):
        yield


@pytest.fixture(scope="module")
def weights(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights whose logits differ from voxel to voxel."""
    torch.manual_seed(1)
    network = OccDepth(PRESETS[NAME])
    with torch.no_grad():
        network.get_parameter("net_3d_decoder.ssc_head.conv_classes.weight").mul_(30)
    path = tmp_path_factory.mktemp("gpu") / "small.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return path


def predicted(weights: Path, device: str, precision: Precision = "float32", **more: bool) -> Occupancy:
    predictor = OccDepthPredictor(name=NAME, weights=weights, device=device, precision=precision, **more)
    predictor.calibrate(rig_of(*SIZE), GRID)
    return predictor.infer(*pair(*SIZE))


def test_the_device_is_found_and_missing_ones_are_named() -> None:
    assert pick_device("auto").type == "cuda"
    with pytest.raises(ModelError, match="CUDA devices"):
        pick_device(f"cuda:{torch.cuda.device_count()}")


def test_network_and_tables_live_on_the_device_and_only_labels_come_back(weights: Path) -> None:
    predictor = OccDepthPredictor(name=NAME, weights=weights, device="cuda")
    before = torch.cuda.memory_allocated()
    assert before > 0 and all(p.is_cuda for p in predictor.network.parameters())
    predictor.calibrate(rig_of(*SIZE), GRID)
    assert torch.cuda.memory_allocated() > before
    result = predictor.infer(*pair(*SIZE))
    assert isinstance(result.labels, np.ndarray) and result.labels.dtype == np.uint8
    # the second inference keeps the memory allocated by the first
    settled = torch.cuda.memory_allocated()
    for seed in range(3):
        predictor.infer(*pair(*SIZE, seed=seed))
    assert torch.cuda.memory_allocated() == settled


def test_gpu_and_cpu_agree_in_float32(weights: Path) -> None:
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        gpu, cpu = predicted(weights, "cuda"), predicted(weights, "cpu")
    assert len(np.unique(cpu.labels)) > 3
    assert (gpu.labels == cpu.labels).mean() >= 0.995
    assert (gpu.visibility == cpu.visibility).mean() >= 0.995
    assert np.nanmax(np.abs(gpu.depth - cpu.depth)) < 0.05


def test_buffers_do_not_mix_frames(weights: Path) -> None:
    # captured graphs and streams read their buffers: every frame must find its own images there
    predictor = OccDepthPredictor(name=NAME, weights=weights, device="cuda")
    predictor.calibrate(rig_of(*SIZE), GRID)
    first = [predictor.infer(*pair(*SIZE, seed=seed)) for seed in range(4)]
    again = [predictor.infer(*pair(*SIZE, seed=seed)) for seed in reversed(range(4))][::-1]
    for a, b in zip(first, again, strict=True):
        assert (a.labels == b.labels).mean() > 0.999
    assert any((a.labels != first[0].labels).any() for a in first[1:])


def test_another_calibration_takes_effect_at_once(weights: Path) -> None:
    predictor = OccDepthPredictor(name=NAME, weights=weights, device="cuda")
    predictor.calibrate(rig_of(*SIZE), GRID)
    straight = predictor.infer(*pair(*SIZE))
    predictor.calibrate(rig_of(*SIZE, shift=1.0), GRID)
    moved = predictor.infer(*pair(*SIZE))
    assert (straight.labels != moved.labels).any()
    predictor.calibrate(rig_of(*SIZE), GRID)
    assert (predictor.infer(*pair(*SIZE)).labels == straight.labels).mean() > 0.999


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_formats_keep_the_labels_of_trained_weights(precision: str) -> None:
    shipped_weights("occdepth-edge-sfa")
    source = open_source(None)
    results = []
    for form in ("float32", precision):
        predictor = EdgePredictor(name="occdepth-edge-sfa", device="cuda", precision=form)  # type: ignore[arg-type]
        predictor.calibrate(source.rig, NEAR)
        results.append(predictor.infer(source[0].left, source[0].right))
    assert (results[0].labels == results[1].labels).mean() >= 0.99
    assert len(np.unique(results[0].labels)) > 3


def test_compiled_graphs_agree_with_the_reference(weights: Path) -> None:
    reference = predicted(weights, "cuda")
    predictor = OccDepthPredictor(name=NAME, weights=weights, device="cuda", compile=True)
    predictor.calibrate(rig_of(*SIZE), GRID)
    # the first runs warm up and capture, later runs replay: none may return the previous frame
    results = [predictor.infer(*pair(*SIZE, seed=seed)) for seed in (1, 2, 3, 0)]
    assert (results[-1].labels == reference.labels).mean() >= 0.995
    assert any((results[-1].labels != earlier.labels).any() for earlier in results[:-1])


@pytest.mark.parametrize("precision", [p for p in get_args(Precision) if p != "float32"])
def test_half_formats_stay_finite_and_close_in_occdepth(weights: Path, precision: Precision) -> None:
    full, half = predicted(weights, "cuda"), predicted(weights, "cuda", precision)
    # random weights amplify rounding: the bound separates wrong results from rounding
    assert (full.labels == half.labels).mean() >= 0.6
    assert np.nanmedian(np.abs(full.depth - half.depth)) < 1.0


def test_a_full_gpu_is_an_error_with_a_remedy(weights: Path) -> None:
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        torch.cuda.empty_cache()
        with pytest.raises(ModelError, match="does not fit"):
            predicted(weights, "cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert predicted(weights, "cuda").labels.shape == GRID.size


def test_an_exported_model_runs_on_cuda(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install onnxruntime-gpu")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA: pip install onnxruntime-gpu")
    made = occdepth_export(tmp_path, NAME, *SIZE)
    results = [
        Engine(None, GRID, model=NAME, weights=made.path, device=device).predict(*pair(*SIZE))
        for device in ("cuda", "cpu")
    ]
    assert (results[0].labels == results[1].labels).mean() >= 0.999


def test_tensorrt_builds_an_engine(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt", reason="TensorRT is absent: pip install tensorrt")
    from occdepth_ros.exporting import tensorrt

    made = occdepth_export(tmp_path, NAME, *SIZE)
    built = tensorrt.build(made.path, tmp_path / "small.engine")
    assert built.stat().st_size > 1000
