"""Small exported models: tracing takes seconds, so that test files share one fixture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.exporting.about import About
from occdepth_ros.exporting.writing import export
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.config import PRESETS as EDGE_PRESETS
from occdepth_ros.models.edge.network import OccDepthEdge
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.network import OccDepth

GRID = VoxelGrid((1.0, -3.2, -1.0), (32, 32, 16), 0.2)
IMAGE = (64, 192)


@dataclass(frozen=True)
class Exported:
    """An exported file, its metadata, and its weights."""

    path: Path
    about: About
    weights: Path


def rig_of(height: int, width: int, shift: float = 0.0) -> StereoRig:
    k = np.array([[0.55 * width, 0, width / 2], [0, 0.55 * width, height / 2], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, shift], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    left, right = np.hstack([k, np.zeros((3, 1))]), np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)


def pair(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise, seen twice 9 pixels apart: something that can be matched."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 3, height // 4, width // 4 + 8), np.float32))
    wide = nn.functional.interpolate(coarse, size=(height, width + 9), mode="bicubic")[0].clamp(0, 1)
    image = (255 * wide).byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(image[:, :width]), np.ascontiguousarray(image[:, 9:])


@contextmanager
def small_preset(name: str) -> Iterator[None]:
    """The OccDepth preset of this name, in a size that a test can afford."""
    config = replace(
        PRESETS[name], backbone="lite0", feature=8, decoder_width=0.25, grid=replace(GRID, origin=(0.0, 0, 0))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, name, replace(config, image=IMAGE))
        yield


def occdepth_export(folder: Path, name: str, height: int, width: int) -> Exported:
    """Export a preset whose labels differ from voxel to voxel: a fresh network predicts one label everywhere."""
    torch.manual_seed(1)
    network = OccDepth(PRESETS[name])
    with torch.no_grad():
        network.get_parameter("net_3d_decoder.ssc_head.conv_classes.weight").mul_(30)
    return _export(folder, name, network, rig_of(height, width))


def edge_export(folder: Path, height: int, width: int) -> Exported:
    """The same of occdepth-edge-sfa."""
    torch.manual_seed(2)
    network = OccDepthEdge(EDGE_PRESETS["occdepth-edge-sfa"])
    with torch.no_grad():
        network.get_parameter("head.occupancy.bias").zero_()
        network.head.classes.weight.mul_(30)
    return _export(folder, "occdepth-edge-sfa", network, rig_of(height, width))


def _export(folder: Path, name: str, network: nn.Module, rig: StereoRig) -> Exported:
    weights = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, weights)
    path = folder / f"{name}.onnx"
    return Exported(path, export(path, name, rig, GRID, weights), weights)
