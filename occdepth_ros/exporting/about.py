"""Metadata of exported files: model, grid, rig and image size, and the graph's inputs and outputs that follow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros import __version__
from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError, CheckpointError, GridError, OccDepthError
from occdepth_ros.exporting.edge_bev import input_shapes, output_shapes
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.config import PRESETS as EDGE_PRESETS
from occdepth_ros.models.edge.config import EdgeConfig
from occdepth_ros.models.edge.predictor import SHIPPED
from occdepth_ros.models.edge_bev.config import PRESETS as BEV_PRESETS
from occdepth_ros.models.edge_bev.config import ZONES, BevConfig
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.occdepth.config import PRESETS, OccDepthConfig

KEY = "occdepth_ros"
"""Name of the metadata entry, JSON."""
FORMAT = 2
"""Version of the format; incremented by changes that older readers would misread. Version 1 has no
`inverse_depth_error`."""
PIXELS, POSE, METRES = 0.1, 5e-4, 1e-4
"""Tolerances of intrinsics (pixels), poses (radian, metres) and grid origins (metres) against those of the file."""

Signature = dict[str, tuple[str, tuple[int, ...]]]
"""Type ("uint8", "float32") and shape by name, in order."""


@dataclass(frozen=True)
class About:
    """Metadata of one exported model.

    Args:
        model: its name in the registry.
        rig: the cameras of its tables.
        grid: grid of the prediction.
        version: version of the package that wrote it.
        weights: source of its weights, for information.
        readout: limits and calibration of the bird's-eye-view architecture by zone, `[ZONES, 4]`: free below, occupied
            from, scale and offset of the logit; None for all other models.
        inverse_depth_error: see `BevConfig`; 0 for all other models.
    """

    model: str
    rig: StereoRig
    grid: VoxelGrid
    version: str = __version__
    weights: str = ""
    readout: tuple[tuple[float, ...], ...] | None = None
    inverse_depth_error: float = 0.0

    @property
    def config(self) -> OccDepthConfig | EdgeConfig | BevConfig:
        """The network's configuration."""
        if self.is_bev:
            return BEV_PRESETS[self.model]
        return EDGE_PRESETS[self.model] if self.is_edge else PRESETS[self.model]

    @property
    def is_bev(self) -> bool:
        """Whether the model has the bird's-eye-view architecture, whose graph takes projection tables and serves every
        calibration."""
        return self.model in BEV_PRESETS

    @property
    def is_edge(self) -> bool:
        """Whether the model is occdepth-edge-sfa, whose graph takes images and stereo evidence."""
        return self.model in SHIPPED

    @property
    def fit(self) -> ImageFit:
        """Transform from the rig's image to the network's image."""
        return ImageFit.between((self.rig.left.height, self.rig.left.width), self.config.image)

    @property
    def inputs(self) -> Signature:
        """Inputs of the graph."""
        config = self.config
        if isinstance(config, BevConfig):
            return input_shapes(config.image, self.grid.size)
        if isinstance(config, EdgeConfig):
            image = ("uint8", (*self.fit.content, 3))
            x, y, z = self.grid.size
            return {
                "left": image,
                "right": image,
                "disparity": ("float32", config.image),
                "hits": ("float32", (x, y, z)),
                "ground": ("float32", (x, y)),
                "ground_seen": ("float32", (x, y)),
            }
        image = ("uint8", (self.rig.left.height, self.rig.left.width, 3))
        return dict.fromkeys(("left", "right")[: config.views], image)

    @property
    def outputs(self) -> Signature:
        """Outputs of the graph."""
        config = self.config
        if isinstance(config, BevConfig):
            return output_shapes(self.grid.size)
        out: Signature = {"labels": ("uint8", self.grid.size), "confidence": ("uint8", self.grid.size)}
        return out if config.depth is None else out | {"depth": ("float32", config.image)}

    def to_json(self) -> str:
        """Return the metadata as JSON text."""
        return json.dumps(
            {
                "format": FORMAT,
                "model": self.model,
                "version": self.version,
                "weights": self.weights,
                "grid": asdict(self.grid),
                "rig": {**self.rig.as_dict(), "frame_id": self.rig.frame_id},
                "network_picture": {"height": self.config.image[0], "width": self.config.image[1]},
                **({} if self.readout is None else {"readout": self.readout}),
                "inverse_depth_error": self.inverse_depth_error,
            }
        )

    @classmethod
    def from_json(cls, text: str, where: str) -> About:
        """Read the metadata entry of an untrusted file.

        Raises:
            CheckpointError: the entry is malformed, has another format, or belongs to an unknown model.
        """
        try:
            entry = json.loads(text)
            if entry["format"] not in (1, FORMAT):
                raise CheckpointError(
                    f"the file has format {entry['format']!r}, this version reads {FORMAT}",
                    where=where,
                    remedy="Export it again with this version.",
                )
            model = entry["model"]
            if model not in SHIPPED and model not in PRESETS and model not in BEV_PRESETS:
                raise CheckpointError(f"the file contains an unknown model {model!r}", where=where)
            readout = _readout(entry["readout"]) if model in BEV_PRESETS else None
            error = _inverse_depth_error(entry)
            origin = str(entry["version"]), str(entry["weights"])
            about = cls(model, _rig(entry["rig"]), _grid(entry["grid"]), *origin, readout, error)
            about.config.check_grid(about.grid)
            size = entry["network_picture"]
            if (size["height"], size["width"]) != about.config.image:
                raise ValueError("another image size")
        except CheckpointError:
            raise
        except (OccDepthError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise CheckpointError(
                f"the metadata cannot be used ({error})", where=where, remedy="Export it again."
            ) from error
        return about

    def check_calibration(self, rig: StereoRig, grid: VoxelGrid, where: str) -> None:
        """Compare a calibration with that of the file, except frame names; only the size of the grid if `is_bev`.

        Raises:
            CalibrationError, GridError: the calibration or the grid differs.
        """
        remedy = "Export the model for this calibration: occdepth export --source."
        if grid.size != self.grid.size or abs(grid.resolution - self.grid.resolution) > 1e-6:
            raise GridError(
                f"the file predicts {self.grid.size} voxels of {self.grid.resolution:g} m, not {grid.size} of "
                f"{grid.resolution:g} m",
                where=where,
                remedy=remedy,
            )
        if self.is_bev:
            return
        if _apart(grid.origin, self.grid.origin) > METRES:
            raise GridError(
                f"the file predicts a grid from {self.grid.origin}, not {grid.origin}", where=where, remedy=remedy
            )
        exported, given = self.rig.left, rig.left
        if (given.width, given.height) != (exported.width, exported.height):
            raise CalibrationError(
                f"the file is for images of {exported.width}x{exported.height}, not {given.width}x{given.height}",
                where=where,
                remedy=remedy,
            )
        pixels = max(
            _apart(rig.left.intrinsics, self.rig.left.intrinsics),
            _apart(rig.right.intrinsics, self.rig.right.intrinsics),
        )
        poses = max(
            _apart(rig.left_from_grid, self.rig.left_from_grid), _apart(rig.right_from_grid, self.rig.right_from_grid)
        )
        if pixels > PIXELS or poses > POSE:
            raise CalibrationError(
                f"the file was made for another calibration: intrinsics differ by {pixels:.3g} pixels, poses by "
                f"{poses:.3g}",
                where=where,
                remedy=remedy,
            )


def _apart(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def _grid(entry: dict[str, Any]) -> VoxelGrid:
    return VoxelGrid(tuple(entry["origin"]), tuple(entry["size"]), entry["resolution"], str(entry["frame_id"]))


def _inverse_depth_error(entry: dict[str, Any]) -> float:
    if entry["format"] == 1:
        preset = BEV_PRESETS.get(entry["model"])
        return 0.0 if preset is None else preset.inverse_depth_error
    error = float(entry["inverse_depth_error"])
    if not np.isfinite(error):
        raise ValueError("the error of the inverse depth is not finite")
    return error


def _readout(rows: Any) -> tuple[tuple[float, ...], ...]:
    values = np.array(rows, np.float64)
    if values.shape != (ZONES, 4) or not np.isfinite(values).all():
        raise ValueError(f"limits and calibration are not {ZONES} rows of four numbers")
    return tuple(tuple(map(float, row)) for row in values)


def _rig(entry: dict[str, Any]) -> StereoRig:
    width, height = entry["width"], entry["height"]
    if not (isinstance(width, int) and isinstance(height, int) and max(width, height) <= 1 << 14):
        raise ValueError("the image size is none")
    left, right = (PinholeCamera(np.array(entry[f"{side}_projection"], np.float64), width, height) for side in _SIDES)
    return StereoRig(left, right, np.array(entry["reference_from_grid"], np.float64), str(entry["frame_id"]))


_SIDES = ("left", "right")
