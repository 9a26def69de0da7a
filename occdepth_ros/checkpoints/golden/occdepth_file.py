"""Golden files of OccDepth: reading and checking their description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.checkpoints.golden.stored_outputs import StoredOutputs, read_stored
from occdepth_ros.errors import CheckpointError, OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import PRESETS, OccDepthConfig

RESOLUTION = 0.2

_PRESET_OF = {
    "multicam_flospdepth_crp_stereodepth_cascadecls_2080ti.yaml": "occdepth-b3",
    "multicam_flospdepth_crp_stereodepth_cascadecls_a100.yaml": "occdepth-b7",
    "flospdepth_2080ti.yaml": "occdepth-mono",
    "NYU multicam_flosp_crp_stereodepth_cascadecls_2080ti (CRP and cascade off)": "occdepth-nyu-b4",
}

_NYU_INTRINSICS = np.array([[518.8579, 0.0, 320.0], [0.0, 518.8579, 240.0], [0.0, 0.0, 1.0]])
_NYU_BASELINE = 0.1


@dataclass(frozen=True)
class GoldenFile:
    """A checked golden file of OccDepth.

    Args:
        path: the file.
        config: its network, with the file's scene and image size.
        shapes: shape of every filled tensor by name.
        seed: seed of the filling rule.
        frame: "SEQUENCE/FRAME" of the dataset that is the input; None = the file holds its images.
        views: camera of every view, and the pose of the grid's frame in it.
        arrays: all stored arrays, by key.
    """

    path: Path
    config: OccDepthConfig
    shapes: Mapping[str, tuple[int, ...]]
    seed: int
    frame: str | None
    views: list[tuple[PinholeCamera, Matrix]]
    arrays: Mapping[str, npt.NDArray[Any]]


def read_golden(path: Path) -> GoldenFile:
    """Read and check a golden file.

    Raises:
        CheckpointError: it is missing, damaged, too large, or not a golden file of a supported OccDepth network.
    """
    return golden_of(read_stored(path))


def golden_of(stored: StoredOutputs) -> GoldenFile:
    """Check that stored outputs belong to OccDepth.

    Raises:
        CheckpointError: they belong to another network, or their description is inconsistent.
    """
    meta, where = stored.meta, str(stored.path)
    try:
        name = _PRESET_OF.get(str(meta.get("config")))
        if name is None:
            raise CheckpointError(
                f"the configuration of this golden file, {meta.get('config')!r}, is not supported",
                where=where,
                remedy=f"Supported: {', '.join(sorted(_PRESET_OF))}.",
            )
        config = _configured(PRESETS[name], meta)
        frame = meta.get("frame")
        _check_arrays(stored.arrays, config, with_images=frame is None)
        views = _views(stored.arrays, config, meta)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OccDepthError) as error:
        raise CheckpointError(
            f"the golden file's description is inconsistent ({error})", where=where, remedy="Download it again."
        ) from error
    return GoldenFile(stored.path, config, stored.shapes, stored.seed, frame, views, stored.arrays)


def _configured(preset: OccDepthConfig, meta: Mapping[str, Any]) -> OccDepthConfig:
    if preset.layout == "nyu":
        x, y, z = meta["voxel_origin"]
        return replace(preset, grid=replace(preset.grid, origin=(x, y, z)))
    small = meta.get("small")
    if small is None:
        return preset
    origin, scene = small["origin"], meta["scene"]
    grid = VoxelGrid((origin[0], origin[1], origin[2]), (scene[0], scene[1], scene[2]), RESOLUTION)
    return replace(preset, grid=grid, image=(int(small["H"]), int(small["W"])))


def _check_arrays(arrays: Mapping[str, npt.NDArray[Any]], config: OccDepthConfig, *, with_images: bool) -> None:
    expected: dict[str, tuple[int, ...]] = {"labels": config.volume_size}
    if config.layout == "nyu":
        expected |= {"image_u8": (*config.image, 3), "depth": config.image}
    else:
        expected |= {"cam_k": (config.views, 3, 3), "T_velo_2_cam": (config.views, 4, 4)}
        if with_images:
            expected["image"] = (config.images, 3, *config.image)
    if "logits" not in arrays:
        raise KeyError("logits")
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise ValueError(f"{key} has the shape {arrays[key].shape}, not {shape}")


def _views(
    arrays: Mapping[str, npt.NDArray[Any]], config: OccDepthConfig, meta: Mapping[str, Any]
) -> list[tuple[PinholeCamera, Matrix]]:
    if config.layout == "nyu":
        left = np.linalg.inv(np.array(meta["cam_pose"], np.float64))
        right = left.copy()
        right[0, 3] -= _NYU_BASELINE
        intrinsics, poses = [_NYU_INTRINSICS] * 2, [left, right]
    else:
        intrinsics, poses = list(arrays["cam_k"]), [t.astype(np.float64) for t in arrays["T_velo_2_cam"]]
    height, width = config.image
    projections = [np.hstack([k, np.zeros((3, 1))]) for k in intrinsics]
    return [(PinholeCamera(p, width, height), t) for p, t in zip(projections, poses, strict=True)]
