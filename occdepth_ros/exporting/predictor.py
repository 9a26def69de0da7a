"""Predictor that runs an exported OccDepth network by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.exporting.about import About
from occdepth_ros.exporting.reading import ExportedFile
from occdepth_ros.exporting.runtime import Arrays, Session
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.evidence import Measurement, StereoEvidence
from occdepth_ros.models.images import resized
from occdepth_ros.models.network_predictor import NetworkPredictor
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.models.readout import VisibilityTable
from occdepth_ros.models.runtime.timing import StageClock
from occdepth_ros.models.trained_height import trained_grid


@dataclass(frozen=True)
class ExportedTables:
    """Tables of the exported calibration.

    Args:
        visibility: projection of the predicted voxels.
        evidence: the matcher; None if the graph takes images only.
        layers: height of the predicted grid above the matcher's grid, layers.
    """

    visibility: VisibilityTable
    evidence: StereoEvidence | None
    layers: int


class ExportedPredictor(NetworkPredictor[ExportedTables]):
    """A file that `occdepth export` wrote, on one device.

    Args:
        exported: the checked file.
        device: as for `Session`; pre- and postprocessing run on the CPU.
        where: name of the file in errors.

    Raises:
        ModelError: a library or the device is missing.
    """

    def __init__(self, exported: ExportedFile, device: str, where: str) -> None:
        self.about: About = exported.about
        super().__init__(f"{self.about.model} (exported)", None, "cpu")
        self.session = Session(exported.content, device, where)
        self.device = torch.device(self.session.device)
        self._where = where
        self.free_space = FreeSpace.SUPPORTED if self.about.is_edge else FreeSpace.UNSUPPORTED

    @property
    def rig(self) -> StereoRig:
        """The only calibration that the model supports."""
        return self.about.rig

    def clock(self) -> StageClock:
        """Return a CPU clock: ONNX Runtime returns when the device has finished."""
        return StageClock(torch.device("cpu"))

    def check_grid(self, grid: VoxelGrid) -> None:
        """See `calibrate`, which compares grid and rig with the file's."""

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Check that this is the calibration that the file was made for.

        Raises:
            CalibrationError, GridError: it is another one.
        """
        self.about.check_calibration(rig, grid, self._where)
        # the tables in the file belong to its own rig
        super().calibrate(self.about.rig, self.about.grid)

    def tables(self, rig: StereoRig, grid: VoxelGrid) -> ExportedTables:
        """Return the tables of one calibration."""
        about = self.about
        network_rig = about.fit.rig(rig)
        visibility = VisibilityTable.of_camera(grid, network_rig.left, network_rig.left_from_grid)
        trained, layers = trained_grid(grid)
        return ExportedTables(visibility, StereoEvidence(rig, trained, about.fit) if about.is_edge else None, layers)

    def predict(self, tables: ExportedTables, images: tuple[ImageArray, ImageArray], clock: StageClock) -> Occupancy:
        """Predict one pair, see `NetworkPredictor.predict`.

        Raises:
            ModelError: the device ran out of memory, or ONNX Runtime failed.
        """
        observed = tables.evidence.observe(*images) if tables.evidence is not None else None
        inputs = self._inputs(observed[0] if observed else None, images)
        clock.lap("preprocess")
        outputs = self.session.run(inputs)
        clock.lap("network")
        no_depth = np.full(self.about.config.image, np.nan, np.float32)
        depth = torch.from_numpy(outputs.get("depth", no_depth))
        restored = self.about.fit.restore(depth).numpy()
        if observed is not None:
            supported = observed[1].shifted(tables.layers).applied(outputs["labels"], outputs["confidence"])
            return Occupancy(*supported, restored)
        visibility = tables.visibility.classify(depth).numpy()
        return Occupancy(outputs["labels"], outputs["confidence"], visibility, restored)

    def _inputs(self, evidence: Measurement | None, images: tuple[ImageArray, ImageArray]) -> Arrays:
        about = self.about
        if evidence is None:
            # a single-image model has no input "right"
            return {name: np.ascontiguousarray(image) for name, image in zip(about.inputs, images, strict=False)}
        hits = np.zeros(about.grid.count, np.float32)
        hits[evidence.hit_voxels.numpy()] = evidence.hits.numpy()
        return {
            "left": resized(images[0], about.fit),
            "right": resized(images[1], about.fit),
            "disparity": evidence.disparity.numpy(),
            "hits": hits.reshape(about.grid.size),
            "ground": evidence.ground.numpy(),
            "ground_seen": evidence.ground_seen.numpy().astype(np.float32),
        }
