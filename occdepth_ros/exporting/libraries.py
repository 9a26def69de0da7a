"""Import of the optional libraries for exporting and exported models."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from occdepth_ros.errors import ModelError

_REMEDIES = {
    "onnx": "pip install onnx onnxscript onnxruntime.",
    "onnxscript": "pip install onnx onnxscript onnxruntime.",
    "onnxruntime": "pip install onnxruntime, or onnxruntime-gpu for NVIDIA GPUs.",
    "tensorrt": "Install NVIDIA's TensorRT with its Python module (pip install tensorrt), on a machine with its GPU.",
}


def library(name: str, purpose: str) -> Any:
    """Import an optional library.

    Args:
        name: module name.
        purpose: completes the sentence "... is needed".

    Raises:
        ModelError: the library is not installed, or fails to load.
    """
    try:
        return import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"the library {name} is needed {purpose}, and cannot be imported ({reason})",
            where=name,
            remedy=_REMEDIES[name],
        ) from error
