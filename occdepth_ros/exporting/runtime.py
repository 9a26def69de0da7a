"""Sessions of ONNX Runtime, and the execution providers of a device."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch

from occdepth_ros.errors import CheckpointError, ModelError
from occdepth_ros.exporting.libraries import library

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
Arrays = dict[str, npt.NDArray[Any]]


class Session:
    """A graph loaded on a device.

    Args:
        content: a checked file (see `reading`).
        device: "auto" (CUDA where ONNX Runtime has it, else the CPU), "cpu", "cuda", "cuda:N", "tensorrt" or
            "tensorrt:N".
        where: the file, for error texts.

    Raises:
        ModelError: the device or ONNX Runtime is missing, or the device's memory is full.
        CheckpointError: ONNX Runtime refuses the graph.
    """

    def __init__(self, content: bytes, device: str, where: str) -> None:
        ort = library("onnxruntime", "to run exported models")
        requested = providers(device, ort.get_available_providers())
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # a waiting session leaves the cores to other nodes
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        if requested[0][0] != CPU and hasattr(ort, "preload_dlls"):
            # CUDA libraries that are installed with torch
            ort.preload_dlls()
        try:
            self._session = ort.InferenceSession(content, options, providers=requested)
        except Exception as error:  # onnxruntime's error types have no common base class
            raise _named(error, device, where, CheckpointError) from error
        self.provider = str(self._session.get_providers()[0])
        if self.provider != requested[0][0]:
            if device != "auto":
                raise ModelError(
                    f"ONNX Runtime cannot use {device!r}: its {requested[0][0]} does not load",
                    where="device",
                    remedy="Compare the CUDA, cuDNN and TensorRT versions with those that onnxruntime-gpu requires.",
                )
            self.provider = CPU
        self.device = "cpu" if self.provider == CPU else f"cuda:{requested[0][1]['device_id']}"
        self._where, self._requested = where, device

    def run(self, inputs: Arrays) -> Arrays:
        """Run the graph and return its outputs by name.

        Raises:
            ModelError: the device ran out of memory, or failed.
        """
        try:
            values = self._session.run(None, inputs)
        except Exception as error:
            raise _named(error, self._requested, self._where, ModelError) from error
        return {output.name: value for output, value in zip(self._session.get_outputs(), values, strict=True)}


def providers(device: str, available: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the execution providers of a device with their options, the requested one first.

    Args:
        device: as for `Session`.
        available: the providers that this ONNX Runtime was built with.

    Raises:
        ModelError: the text names no device, or ONNX Runtime was built without it.
    """
    kind, _, number = device.partition(":")
    remedy = "Use auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N."
    if kind not in ("auto", "cpu", "cuda", "tensorrt") or (number and not number.isdecimal()):
        raise ModelError(f"{device!r} is no device", where="device", remedy=remedy)
    if kind == "auto":
        kind = "cuda" if CUDA in available and torch.cuda.is_available() else "cpu"
    host: list[tuple[str, dict[str, str]]] = [(CPU, {})]
    if kind == "cpu":
        return host
    requested = CUDA if kind == "cuda" else TENSORRT
    if requested not in available:
        raise ModelError(
            f"this ONNX Runtime has no {kind.upper()} ({', '.join(available)})",
            where="device",
            remedy="pip install onnxruntime-gpu in place of onnxruntime, or use auto or cpu.",
        )
    # no TF32: exported models are checked for the labels of float32
    chosen = {"device_id": number or "0"}
    cuda = (CUDA, chosen | {"use_tf32": "0"})
    return [cuda, *host] if kind == "cuda" else [(TENSORRT, chosen), cuda, *host]


def _named(
    error: Exception, device: str, where: str, kind: type[CheckpointError] | type[ModelError]
) -> CheckpointError | ModelError:
    reason = str(error).strip().partition("\n")[0][:300]
    if isinstance(error, MemoryError) or "allocate memory" in reason.lower() or "out of memory" in reason.lower():
        return ModelError(
            f"the exported model does not fit in the memory of {device}",
            where="device",
            remedy="Free memory, or use device cpu.",
        )
    return kind(f"ONNX Runtime cannot use it ({reason})", where=where, remedy="Export it again, or use device cpu.")
