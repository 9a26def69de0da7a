"""Reading of exported files, with checks before a runtime loads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occdepth_ros.errors import CheckpointError
from occdepth_ros.exporting.about import KEY, About, Signature
from occdepth_ros.exporting.libraries import library

MAX_BYTES = (1 << 31) - 1
"""Largest file that the format allows in one piece."""
MAX_NODES = 20_000
MAX_ELEMENTS = 1 << 28
"""Largest number of elements of a tensor inside a graph; OccDepth's largest has 150 million."""
_SCALES_BYTES = 64
"""Float constants up to this size may be resize factors, on which shapes depend."""


@dataclass(frozen=True)
class ExportedFile:
    """A checked file.

    Args:
        about: metadata; the graph has the inputs and outputs that follow from it.
        content: bytes of the whole file.
    """

    about: About
    content: bytes


def read_exported(path: Path) -> ExportedFile:
    """Read and check an exported model.

    No other file is opened. Operators outside ONNX, subgraphs and tensors without a fixed size below `MAX_ELEMENTS` are
    refused.

    Raises:
        CheckpointError: the file is missing, damaged, not an exported model, or holds forbidden content.
        ModelError: the library onnx is missing.
    """
    onnx = library("onnx", "to read exported models")
    where = str(path)
    content = _bytes_of(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's own error types differ between its versions
        raise CheckpointError("the file is damaged or truncated", where=where, remedy="Export it again.") from error
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in entries:
        raise CheckpointError(
            "this is not a model that `occdepth export` wrote",
            where=where,
            remedy="Export one: occdepth export --model NAME --weights FILE --source PATH OUT.onnx.",
        )
    about = About.from_json(entries[KEY], where)
    check_graph(model, about, where)
    return ExportedFile(about, content)


def check_graph(model: Any, about: About, where: str) -> None:
    """Check a parsed model against its metadata; removes the weights from the model.

    Raises:
        CheckpointError: the graph has forbidden content, or does not fit the metadata.
    """
    graph = model.graph
    if model.functions or any(entry.domain not in ("", "ai.onnx") for entry in model.opset_import):
        raise _refused("it defines its own operators", where)
    if len(graph.node) > MAX_NODES:
        raise _refused(f"it has {len(graph.node)} nodes, more than {MAX_NODES}", where)
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise _refused(f"it uses the operator {node.domain}.{node.op_type}", where)
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise _refused(f"it contains a nested graph ({node.op_type})", where)
    for tensor in _tensors(graph):
        if tensor.external_data or tensor.data_location:
            raise _refused("it refers to another file", where)
    if graph.sparse_initializer:
        raise _refused("it contains sparse tensors", where)
    names = {tensor.name for tensor in graph.initializer}
    _check_signature([value for value in graph.input if value.name not in names], about.inputs, "inputs", where)
    _check_signature(graph.output, about.outputs, "outputs", where)
    _check_sizes(model, where)


def _bytes_of(path: Path) -> bytes:
    where = str(path)
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MAX_BYTES:
            raise CheckpointError(
                f"this is no file of at most {MAX_BYTES} bytes", where=where, remedy="Give an exported model."
            )
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot be read ({error.strerror})", where=where, remedy="Give the path of an exported model."
        ) from error


def _check_signature(values: Iterable[Any], expected: Signature, what: str, where: str) -> None:
    found = {value.name: _type_and_shape(value) for value in values}
    if found != expected:
        raise _refused(f"its {what} are {_listed(found)} instead of {_listed(expected)}", where)


def _check_sizes(model: Any, where: str) -> None:
    """Infer the shape of every value, and refuse shapes that are not fixed or too large."""
    onnx = library("onnx", "to read exported models")
    for tensor in model.graph.initializer:
        if min(tensor.dims, default=1) < 0 or math.prod(tensor.dims) > MAX_ELEMENTS:
            raise _refused(f"its constant {tensor.name!r} has an invalid size", where)
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.raw_data) > _SCALES_BYTES:
            # shape inference needs the values of integers and small factors only
            tensor.raw_data = b""
    # shapes that the file states are not trusted
    del model.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        raise _refused(f"its shapes do not fit together ({reason})", where) from error
    values = [*inferred.graph.value_info, *inferred.graph.output]
    shapes = {value.name: _type_and_shape(value)[1] for value in values}
    for name in (name for node in model.graph.node for name in node.output if name):
        shape = shapes.get(name, (-1,))
        if min(shape, default=1) < 0 or math.prod(shape) > MAX_ELEMENTS:
            raise _refused(f"its value {name!r} has the shape {list(shape)}, which is not fixed or too large", where)


def _type_and_shape(value: Any) -> tuple[str, tuple[int, ...]]:
    onnx = library("onnx", "to read exported models")
    tensor = value.type.tensor_type
    try:
        kind = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except (KeyError, ValueError, TypeError):
        kind = f"type {tensor.elem_type}"
    return kind, tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _listed(signature: Signature) -> str:
    return ", ".join(f"{name} {kind}{list(shape)}" for name, (kind, shape) in signature.items()) or "none"


def _refused(why: str, where: str) -> CheckpointError:
    return CheckpointError(
        f"the graph is not one that `occdepth export` writes: {why}", where=where, remedy="Export it again."
    )
