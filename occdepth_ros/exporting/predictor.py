"""An exported model behind the engine's contract: ONNX Runtime in place of the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CheckpointError, ModelError
from occdepth_ros.exporting.about import About
from occdepth_ros.exporting.reading import read_exported
from occdepth_ros.exporting.runtime import Arrays, Session
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.evidence import StereoEvidence
from occdepth_ros.models.images import resized
from occdepth_ros.models.occdepth.readout import VisibilityTable
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.timing import StageClock
from occdepth_ros.models.trained_height import trained_grid


class ExportedPredictor:
    """A file that `occdepth export` wrote, on one device.

    Args:
        name: the model that it is expected to be; None takes any.
        weights: the file.
        device: as for `Session`.

    Raises:
        CheckpointError: the file is missing, damaged, of another model, or not ours.
        ModelError: a library or the device is not there.
    """

    def __init__(self, *, weights: Path, name: str | None = None, device: str = "auto") -> None:
        where = str(weights)
        exported = read_exported(weights)
        self.about: About = exported.about
        if name is not None and name != self.about.model:
            raise CheckpointError(
                f"this is an exported {self.about.model}, not {name}",
                where=where,
                remedy=f"Choose the model {self.about.model}, or another file.",
            )
        self.session = Session(exported.content, device, where)
        self.device = self.session.device
        self.name = f"{self.about.model} (exported)"
        self._where = where
        self._host = torch.device("cpu")
        self._evidence: StereoEvidence | None = None
        self._visibility: VisibilityTable | None = None

    @property
    def rig(self) -> StereoRig:
        """The only calibration that it works on."""
        return self.about.rig

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Check that this is the calibration that the file was made for.

        Raises:
            CalibrationError, GridError: it is another one.
        """
        about = self.about
        about.check_calibration(rig, grid, self._where)
        if self._visibility is not None:
            return
        # tables of the file's own rig, as those inside it
        fitted = about.fit.rig(about.rig)
        self._visibility = VisibilityTable.of_camera(about.grid, fitted.left, fitted.left_from_grid)
        if about.is_edge:
            self._evidence = StereoEvidence(about.rig, trained_grid(about.grid)[0], about.fit)

    @torch.inference_mode()
    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size.

        Raises:
            ModelError: the device ran out of memory, or the runtime failed.
        """
        if self._visibility is None:
            raise ModelError(
                "the predictor knows no calibration yet", where=self.name, remedy="Call calibrate(rig, grid) first."
            )
        clock = StageClock(self._host)
        inputs = self._inputs(left, right)
        clock.lap("preprocess")
        outputs = self.session.run(inputs)
        clock.lap("network")
        nothing = np.full(self.about.config.image, np.nan, np.float32)
        depth = torch.from_numpy(outputs.get("depth", nothing))
        visibility = self._visibility.classify(depth)
        result = Occupancy(
            outputs["labels"],
            outputs["confidence"],
            visibility.numpy(),
            self.about.fit.restore(depth).numpy(),
        )
        clock.lap("postprocess")
        result.timings_ms = clock.milliseconds()
        return result

    def _inputs(self, left: ImageArray, right: ImageArray) -> Arrays:
        about = self.about
        if self._evidence is None:
            images = {"left": left, "right": right}
            return {name: np.ascontiguousarray(images[name]) for name in about.inputs}
        measured = self._evidence.measure(left, right)
        hits = np.zeros(about.grid.count, np.float32)
        hits[measured.hit_voxels.numpy()] = measured.hits.numpy()
        return {
            "left": resized(left, about.fit),
            "right": resized(right, about.fit),
            "disparity": measured.disparity.numpy(),
            "hits": hits.reshape(about.grid.size),
            "ground": measured.ground.numpy(),
            "ground_seen": measured.ground_seen.numpy().astype(np.float32),
        }
