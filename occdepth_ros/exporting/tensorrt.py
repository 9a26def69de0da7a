"""TensorRT: an engine for the GPU of this machine from an exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from occdepth_ros.errors import ModelError
from occdepth_ros.exporting.libraries import library
from occdepth_ros.exporting.reading import read_exported
from occdepth_ros.files import write_whole

SUFFIX = ".engine"


def load() -> Any:
    """Import the library.

    Raises:
        ModelError: the library is not installed, or finds no GPU.
    """
    return library("tensorrt", "to build an engine")


def build(source: Path, target: Path) -> Path:
    """Build an engine in float32 and write it; it runs on the same GPU model and version of TensorRT only.

    Args:
        source: an exported model.
        target: the file to write.

    Raises:
        ModelError: TensorRT is missing, or cannot build the engine.
        CheckpointError, OutputError: the files cannot be used.
    """
    trt = load()
    exported = read_exported(source)
    logger = trt.Logger(trt.Logger.ERROR)
    try:
        builder = trt.Builder(logger)
        # up to version 9 the explicit batch needs a flag, which later versions lack
        flag = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
        network = builder.create_network(0 if flag is None else 1 << int(flag))
        parser = trt.OnnxParser(network, logger)
        parsed = parser.parse(exported.content)
        problems = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        plan = builder.build_serialized_network(network, builder.create_builder_config()) if parsed else None
    except Exception as error:  # TensorRT's bindings raise RuntimeError, TypeError and their own
        raise _failed(str(error), source) from error
    if plan is None:
        raise _failed(problems or "see its log above", source)
    write_whole(target, bytes(plan))
    return target


def _failed(reason: str, source: Path) -> ModelError:
    return ModelError(
        f"TensorRT cannot build an engine ({reason.strip().partition(chr(10))[0][:300]})",
        where=str(source),
        remedy="Check the GPU with nvidia-smi and free its memory; the ONNX file works with --device cuda as well.",
    )
