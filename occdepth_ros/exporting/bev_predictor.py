"""Predictor that runs an exported bird's-eye-view network by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import torch

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.exporting.about import About
from occdepth_ros.exporting.edge_bev import dense_inputs, output_of
from occdepth_ros.exporting.reading import ExportedFile
from occdepth_ros.exporting.runtime import Session
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.predictor import EdgeBevPredictor
from occdepth_ros.models.edge_bev.scene_inputs import SceneInputs
from occdepth_ros.models.predictor import ImageArray


class ExportedBevNetwork:
    """The graph of an exported file in place of the network.

    Args:
        session: runs the graph.
        about: metadata of the file.
    """

    def __init__(self, session: Session, about: About) -> None:
        assert about.readout is not None, "the reader checks it"
        self._session = session
        rows = torch.tensor(about.readout)
        self.limits, self.calibration = rows[:, :2], rows[:, 2:]
        self.inverse_depth_error = torch.tensor(about.inverse_depth_error)

    def image_network(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image twice: the graph computes image network and completion in one run."""
        return images, images

    def begin(self, logits: torch.Tensor, features: torch.Tensor) -> Callable[[SceneInputs], BevOutput]:
        """Return a function that runs the graph; both arguments are the image, `[1, H, W, 3]` uint8."""
        image = logits[0].numpy()
        return lambda scene: output_of(self._session.run({"image": image, **dense_inputs(scene)}))


class ExportedBevPredictor(EdgeBevPredictor):
    """A file of the bird's-eye-view architecture that `occdepth export` wrote. It has no memory of earlier pairs.

    Args:
        exported: the checked file.
        device: as for `Session`; matching, evidence and readout run on the CPU.
        where: name of the file in errors.

    Raises:
        ModelError: a library or the device is missing.
    """

    def __init__(self, exported: ExportedFile, device: str, where: str) -> None:
        self.about = exported.about
        self.session = Session(exported.content, device, where)
        self._where = where
        super().__init__(name=self.about.model, device="cpu", precision="float32")
        self.name = f"{self.about.model} (exported)"

    def _loaded(self, name: str, weights: Path | str | None) -> ExportedBevNetwork:
        return ExportedBevNetwork(self.session, self.about)

    @property
    def rig(self) -> StereoRig:
        """The rig that the model was exported with; it supports any other one, too."""
        return self.about.rig

    def _input(self, left: ImageArray) -> torch.Tensor:
        """Return the padded left image, `[1, H, W, 3]` uint8: the graph normalizes it."""
        return self._padded(left)

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Compute the tables of a calibration.

        Raises:
            CalibrationError: the images are too small to be matched.
            GridError: the grid has another size than that of the file.
        """
        self.about.check_calibration(rig, grid, self._where)
        super().calibrate(rig, grid)

    def set_pose(self, world_from_grid: Matrix | None) -> None:
        """Accept the pose of the next pair, which is not used."""

    def pixel_classes(self, left: ImageArray) -> NoReturn:
        """Refuse: the graph has no output for the classes of pixels.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            "an exported model does not classify pixels", where=self.name, remedy="Use the weights file of the model."
        )
