"""Exported files that are damaged or malicious are refused before a runtime loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks.exports import GRID, rig_of

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CheckpointError
from occdepth_ros.exporting.about import KEY, About
from occdepth_ros.exporting.reading import read_exported

onnx = pytest.importorskip("onnx", reason="onnx is absent: pip install onnx onnxscript onnxruntime")

# monoscene has no depth module and one image: the smallest signature
ABOUT = About("monoscene", rig_of(90, 250), GRID)


@pytest.fixture(autouse=True)
def any_grid(monkeypatch: pytest.MonkeyPatch) -> Iterator[StereoRig]:
    from occdepth_ros.models.occdepth.config import OccDepthConfig

    monkeypatch.setattr(OccDepthConfig, "check_grid", lambda *_: None)
    yield ABOUT.rig


def harmless() -> Any:
    """A graph with the right inputs and outputs that predicts nothing but zeros."""
    helper, kinds = onnx.helper, onnx.TensorProto
    size = list(GRID.size)
    nodes = [
        helper.make_node("Cast", ["left"], ["numbers"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zeros"], ["volume"]),
        helper.make_node("Cast", ["volume"], ["labels"], to=kinds.UINT8),
        helper.make_node("Cast", ["volume"], ["confidence"], to=kinds.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "harmless",
        [helper.make_tensor_value_info("left", kinds.UINT8, [90, 250, 3])],
        [helper.make_tensor_value_info(name, kinds.UINT8, size) for name in ("labels", "confidence")],
        [onnx.numpy_helper.from_array(np.zeros(size, np.float32), "zeros")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {KEY: ABOUT.to_json()})
    return model


def read(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    read_exported(path)


def test_an_unchanged_file_is_read(tmp_path: Path) -> None:
    read(harmless(), tmp_path)


def external(model: Any) -> None:
    (tensor,) = model.graph.initializer
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"


def external_in_a_node(model: Any) -> None:
    tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "inside")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["other"], value=tensor))


def foreign_operator(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Shell", ["left"], ["out"], domain="com.evil"))


def foreign_domain(model: Any) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.evil", 1))


def own_function(model: Any) -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(onnx.helper.make_function("", "F", ["x"], ["y"], [node], [onnx.helper.make_opsetid("", 18)]))


def a_loop(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["out"], body=body))


def another_input(model: Any) -> None:
    model.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))


def another_name(model: Any) -> None:
    model.graph.output[0].name = "lables"


def another_shape(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 91


def another_type(model: Any) -> None:
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def a_free_dimension(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "height"


def a_bomb(model: Any) -> None:
    shape = onnx.numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(onnx.helper.make_node("ConstantOfShape", ["shape"], ["huge"]))


def a_shape_of_the_image(model: Any) -> None:
    # as many zeros as the image has bright pixels
    model.graph.node.append(onnx.helper.make_node("NonZero", ["left"], ["bright"]))


def wrong_shapes(model: Any) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((7, 5), np.float32), "odd"))
    model.graph.node.append(onnx.helper.make_node("MatMul", ["volume", "odd"], ["product"]))


def a_constant_of_invalid_size(model: Any) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([1 << 40])


def no_description(model: Any) -> None:
    del model.metadata_props[:]


def a_wrong_description(model: Any) -> None:
    model.metadata_props[0].value = About("monoscene", rig_of(91, 250), GRID).to_json()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (external, "another file"),
        (external_in_a_node, "another file"),
        (foreign_operator, "com.evil.Shell"),
        (foreign_domain, "its own operators"),
        (own_function, "its own operators"),
        (a_loop, "a nested graph"),
        (another_input, "its inputs are"),
        (another_name, "lables"),
        (another_shape, "its inputs are"),
        (another_type, "its outputs are labels float32"),
        (a_free_dimension, "its inputs are left uint8\\[-1"),
        (a_bomb, "'huge' has the shape"),
        (a_shape_of_the_image, "'bright' has the shape"),
        (wrong_shapes, "do not fit together"),
        (a_constant_of_invalid_size, "invalid size"),
        (no_description, "not a model that `occdepth export` wrote"),
        (a_wrong_description, "its inputs are"),
    ],
)
def test_harmful_graphs_are_refused(harm: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    model = harmless()
    harm(model)
    with pytest.raises(CheckpointError, match=message):
        read(model, tmp_path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = harmless().SerializeToString()
    rng = np.random.default_rng(0)
    contents = [b"", b"\xff" * 1000, rng.bytes(5000), whole[: len(whole) // 2], whole[:-3], b"PK\x03\x04" + whole]
    for number, content in enumerate(contents):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            read_exported(path)


def test_missing_files_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read_exported(tmp_path / "none.onnx")
    with pytest.raises(CheckpointError, match="no file of at most"):
        read_exported(tmp_path)
    monkeypatch.setattr("occdepth_ros.exporting.reading.MAX_BYTES", 100)
    with pytest.raises(CheckpointError, match="no file of at most 100"):
        read(harmless(), tmp_path)
