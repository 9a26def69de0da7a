"""Export of the bird's-eye-view architecture: the dense graph, the file on another rig, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks.exports import pair, rig_of
from safetensors.torch import save_file

from occdepth_ros.engine import Engine
from occdepth_ros.errors import CheckpointError, GridError, ModelError
from occdepth_ros.exporting.about import About
from occdepth_ros.exporting.agreement import compare
from occdepth_ros.exporting.bev_predictor import ExportedBevPredictor
from occdepth_ros.exporting.edge_bev import ExportableEdgeBev, dense_inputs, input_shapes, output_of, output_shapes
from occdepth_ros.exporting.loading import load_exported
from occdepth_ros.exporting.writing import export
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import PRESETS
from occdepth_ros.models.edge_bev.evidence import StereoEvidence
from occdepth_ros.models.edge_bev.image_network import normalized
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.edge_bev.predictor import EdgeBevPredictor
from occdepth_ros.models.edge_bev.scene_inputs import scene_inputs
from occdepth_ros.models.edge_bev.tables import BevTables

GRID = VoxelGrid((0.0, -3.2, -2.2), (64, 32, 32), 0.2)
IMAGE = (64, 192)
NAME = "occdepth-edge"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, NAME, replace(PRESETS[NAME], image=IMAGE, stages=(16, 16, 16, 16)))
        yield


@pytest.fixture(scope="module")
def network(small: None) -> EdgeBev:
    """A network in which no term is zero and no label is rare."""
    torch.manual_seed(3)
    made = EdgeBev(PRESETS[NAME]).eval().requires_grad_(False)
    for parameter in made.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.3)
    made.occupancy.bias.zero_()  # type: ignore[union-attr]
    made.limits.copy_(torch.tensor((0.3, 0.5)))
    return made


@pytest.fixture(scope="module")
def exported(network: EdgeBev, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file and the weights."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is absent: pip install onnx onnxscript onnxruntime")
    folder = tmp_path_factory.mktemp("bev")
    weights, file = folder / "edge.safetensors", folder / "edge.onnx"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, weights)
    export(file, NAME, rig_of(*IMAGE), GRID, weights)
    return file, weights


@torch.inference_mode()
def test_the_dense_graph_has_the_logits_of_the_network(network: EdgeBev) -> None:
    rig = rig_of(*IMAGE)
    left, right = pair(*IMAGE)
    evidence = StereoEvidence(rig, GRID)
    tables = BevTables.of_rig(rig, GRID, IMAGE)
    scene = scene_inputs(evidence.of_disparity(evidence.match(left, right)), tables)
    inputs = dense_inputs(scene)
    near, cell = inputs["near"], np.asarray(inputs["cell"], np.int32)
    assert 0 < np.count_nonzero(near) < np.count_nonzero(cell >= 0) < len(cell)
    expected = network(normalized(torch.from_numpy(left)[None]), [scene])[0]
    outputs = ExportableEdgeBev(network, GRID.size)(
        torch.from_numpy(left), *(torch.from_numpy(values) for values in inputs.values())
    )
    found = output_of({name: t.numpy() for name, t in zip(output_shapes(GRID.size), outputs, strict=True)})
    rows = torch.arange(len(expected.occupancy))
    for a, b in (
        (found.occupancy, expected.occupancy),
        (found.kinds(rows), expected.kinds(rows)),
        (found.layout, expected.layout),
    ):
        assert a.std() > 0.05
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)
    shapes = {name: (str(values.dtype), values.shape) for name, values in {"image": left, **inputs}.items()}
    assert shapes == input_shapes(IMAGE, GRID.size)


def test_one_file_serves_every_calibration(exported: tuple[Path, Path]) -> None:
    file, weights = exported
    predictor = load_exported(name=NAME, weights=file, device="cpu")
    assert isinstance(predictor, ExportedBevPredictor)
    found = compare(predictor, weights, [pair(*IMAGE)])
    assert found.holds and found.confidence >= 0.999 and found.kinds > 3
    network = EdgeBevPredictor(name=NAME, weights=weights, device="cpu", precision="float32")
    rig = rig_of(90, 250, shift=0.1)
    for each in (network, predictor):
        each.calibrate(rig, replace(GRID, origin=(0.2, -3.0, -2.2)))
    expected, result = (each.infer(*pair(90, 250)) for each in (network, predictor))
    assert (result.labels == expected.labels).mean() > 0.999
    assert (result.visibility == expected.visibility).all()
    engine = Engine(None, GRID, model=NAME, weights=file, device="cpu")
    assert engine.predict(*pair(*IMAGE)).model == "occdepth-edge (exported)"


def test_what_an_exported_file_cannot_do_is_refused(exported: tuple[Path, Path]) -> None:
    file, _ = exported
    predictor = load_exported(weights=file, device="cpu")
    assert isinstance(predictor, ExportedBevPredictor)
    with pytest.raises(GridError, match="voxels"):
        predictor.calibrate(rig_of(*IMAGE), replace(GRID, size=(32, 32, 32)))
    with pytest.raises(ModelError, match="does not classify pixels"):
        predictor.pixel_classes(pair(*IMAGE)[0])


def test_limits_and_calibration_are_metadata_that_are_checked(network: EdgeBev) -> None:
    rows = torch.cat([network.limits, network.calibration], 1).tolist()
    about = About(NAME, rig_of(*IMAGE), GRID, readout=tuple(map(tuple, rows)))
    back = About.from_json(about.to_json(), "here")
    assert back == replace(about, rig=back.rig) and back.rig.fingerprint == about.rig.fingerprint
    good = json.loads(about.to_json())
    for readout in (None, rows[:-1], [[0.1, 0.2]] * len(rows), [[float("nan")] * 4] * len(rows), "x"):
        with pytest.raises(CheckpointError, match="cannot be used"):
            About.from_json(json.dumps(good | {"readout": readout}), "here")
    assert np.allclose(np.array(back.readout), np.array(rows))


def test_the_error_of_the_disparity_is_metadata_and_that_of_the_preset_in_older_files(network: EdgeBev) -> None:
    rows = torch.cat([network.limits, network.calibration], 1).tolist()
    name = "occdepth-edge-kitti"
    about = About(name, rig_of(*IMAGE), GRID, readout=tuple(map(tuple, rows)), inverse_depth_error=2e-4)
    entry = json.loads(about.to_json())
    assert About.from_json(json.dumps(entry), "here").inverse_depth_error == 2e-4
    del entry["inverse_depth_error"]
    found = About.from_json(json.dumps(entry | {"format": 1}), "here").inverse_depth_error
    assert found == PRESETS[name].inverse_depth_error > 0
    for error in (float("inf"), None, "x"):
        with pytest.raises(CheckpointError, match="cannot be used"):
            About.from_json(json.dumps(entry | {"inverse_depth_error": error}), "here")
