"""Export of a network with one calibration as an ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.exporting.about import KEY, About
from occdepth_ros.exporting.edge import ExportableEdge
from occdepth_ros.exporting.edge_bev import ExportableEdgeBev
from occdepth_ros.exporting.libraries import library
from occdepth_ros.exporting.occdepth import ExportableOccDepth
from occdepth_ros.files import write_whole
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.edge.predictor import SHIPPED
from occdepth_ros.models.edge.predictor import load_network as load_edge
from occdepth_ros.models.edge_bev.config import PRESETS as BEV_PRESETS
from occdepth_ros.models.edge_bev.loading import load_network as load_bev
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.predictor import load_network
from occdepth_ros.models.runtime.inference import fold_norms
from occdepth_ros.models.trained_height import trained_grid

OPSET = 18
"""ONNX operator set, of 2022."""

MODELS = [*BEV_PRESETS, *SHIPPED, *(name for name, config in PRESETS.items() if config.virtual_bf is None)]
"""Models that can be exported: all models whose inputs are images of a stereo rig."""


def export(path: Path, model: str, rig: StereoRig, grid: VoxelGrid, weights: Path | str | None = None) -> About:
    """Write a model for one rig and grid as an ONNX file in float32; the tables of the calibration are constants in it,
    except for the bird's-eye-view architecture, where they are inputs.

    Args:
        path: file to write, complete or not at all.
        model: one of `MODELS`.
        rig: the cameras; the graph takes their images (for occdepth-edge-sfa, images resized by `ImageFit`).
        grid: the voxels to predict.
        weights: weights file, "random", or None for the shipped weights.

    Raises:
        ModelError: the model cannot be exported, or a library is missing.
        CheckpointError: the weights are missing, damaged, or of another network.
        GridError: the network cannot predict this grid.
        OutputError: the file cannot be written.
    """
    if model not in MODELS:
        raise ModelError(f"{model!r} cannot be exported", where="model", remedy=f"Choose one of {', '.join(MODELS)}.")
    onnx = library("onnx", "to export")
    library("onnxscript", "to export")
    source = "shipped" if weights is None else Path(weights).name
    about = About(model, rig, grid, weights=source)
    about.config.check_grid(grid)
    module = exportable(about, weights).eval().requires_grad_(False)
    if isinstance(module, ExportableEdgeBev):
        rows = torch.cat([module.network.limits, module.network.calibration], 1)
        error = float(module.network.inverse_depth_error)
        about = replace(about, readout=tuple(map(tuple, rows.tolist())), inverse_depth_error=error)
    examples = tuple(torch.zeros(shape, dtype=getattr(torch, kind)) for kind, shape in about.inputs.values())
    with quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            module,
            examples,
            input_names=list(about.inputs),
            output_names=list(about.outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    proto = program.model_proto
    strip(proto.graph)
    proto.doc_string = f"{model} of occdepth_ros {about.version}"
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, about.to_json()
    onnx.checker.check_model(proto)
    write_whole(path, proto.SerializeToString(deterministic=True))
    return about


def exportable(about: About, weights: Path | str | None) -> nn.Module:
    """Return the module to export: the network in float32 with the tables of the calibration."""
    if about.is_bev:
        return ExportableEdgeBev(fold_norms(load_bev(about.model, weights).eval()), about.grid.size)
    network_rig = about.fit.rig(about.rig)
    if about.is_edge:
        edge = fold_norms(load_edge(about.model, weights).eval())
        trained, layers = trained_grid(about.grid)
        return ExportableEdge(edge, EdgeGeometry.of_rig(edge.config, network_rig, trained), layers)
    network = load_network(about.model, weights).eval()
    return ExportableOccDepth(network, SceneGeometry.of_rig(network.config, network_rig, about.grid), about.fit)


def strip(graph: Any) -> None:
    """Remove the exporter's metadata about the machine and source lines."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the exporter's warnings and log messages."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
