"""MonoOcc behind the engine's contract: a stereo pair in, arrays of an occupancy prediction out.

The network looks at the left image alone; query proposals get their depth from the pair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CheckpointError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.calibrations import RecentCalibrations
from occdepth_ros.models.device import pick_device
from occdepth_ros.models.edge.predictor import Precision, pick_precision
from occdepth_ros.models.fusion import fold_norms, stored_as
from occdepth_ros.models.images import SAME_SCALE, ImageFit
from occdepth_ros.models.layout import channels_last
from occdepth_ros.models.loading import read_state
from occdepth_ros.models.memory import keep_freed_memory, memory_guard
from occdepth_ros.models.monoocc.config import PRESETS, MonoOccConfig
from occdepth_ros.models.monoocc.network import NARROW, MonoOcc, attention_format
from occdepth_ros.models.monoocc.proposals.semi_global import SemiGlobalDepth
from occdepth_ros.models.monoocc.proposals.source import Depth, DepthSource, ProposalSource
from occdepth_ros.models.monoocc.proposals.stereo import StereoProposals
from occdepth_ros.models.monoocc.published import load_published, recognise, was_late_trained
from occdepth_ros.models.monoocc.reference_points import References
from occdepth_ros.models.occdepth.readout import VisibilityTable
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.timing import StageClock
from occdepth_ros.models.trained_height import shifted, trained_grid
from occdepth_ros.models.weights import RANDOM, with_weights


class RememberedDepth:
    """A depth source that keeps what it measured last: proposals need it, and so does the visibility of voxels.

    Args:
        source: where depth comes from.
    """

    def __init__(self, source: DepthSource) -> None:
        self._source = source
        self.last: Depth | None = None

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Depth:
        """See `DepthSource`."""
        self.last = self._source(left, right, rig, grid)
        return self.last


@dataclass(frozen=True)
class _Calibration:
    rig: StereoRig
    trained: VoxelGrid
    layers: int
    fit: ImageFit
    references: References
    visibility: VisibilityTable


SWEEPS = 9
"""Earlier pairs that the published networks' proposals were merged from; the small preset learns from single pairs."""


class MonoOccPredictor:
    """MonoOcc with loaded weights on one device.

    Args:
        name: a preset of `occdepth_ros.models.monoocc.config.PRESETS` that does not look back.
        weights: a weights file, or "random". Whether its image-conditioned cross-attention was trained is read off it.
        device: "auto" (a CUDA device where there is one), "cpu", "cuda" or "cuda:N"; matching runs on the CPU.
        precision: number format of convolutions and linear layers; "auto" takes bfloat16 where the hardware
            multiplies it. Where samples are taken is float32 in any case.
        depth: where the proposals' depth comes from; None = semi-global matching.
        proposals: where proposals come from; None = the voxels that `depth` measures, in the published networks'
            presets merged with `SWEEPS` earlier pairs, where `place` says how the grid's frame moved.

    Raises:
        ModelError: the name or the device does not exist, the network wants earlier images, or the device has too
            little memory.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(
        self,
        *,
        name: str = "monoocc-s",
        weights: Path | str | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        depth: DepthSource | None = None,
        proposals: ProposalSource | None = None,
    ) -> None:
        if name not in PRESETS or PRESETS[name].past:
            known = ", ".join(key for key, config in PRESETS.items() if not config.past)
            raise ModelError(f"there is no network {name!r} for one pair", where="model", remedy=f"Known: {known}.")
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.name = name if str(weights) != RANDOM else f"{name} (random weights)"
        network = fold_norms(load_network(name, weights).eval()).requires_grad_(False)
        self.config = network.config
        with memory_guard(self.name, self.device):
            self.network = channels_last(network.to(self.device))
            head = self.network.pts_bbox_head
            keep_freed_memory(self.device)
            wide = head.transformers() if self.config.channels >= NARROW else []
            for part in (self.network.img_backbone, self.network.img_neck, *wide):
                stored_as(part, self.dtype)
        self._depth = RememberedDepth(depth or SemiGlobalDepth())
        history = 0 if name.startswith("monoocc-edge") else SWEEPS
        self.proposals: ProposalSource = proposals or StereoProposals(self._depth, history=history)
        # one calibration is what a robot has; a second one allows for switching back
        self._calibrations: RecentCalibrations[_Calibration] = RecentCalibrations(2)
        self._current: _Calibration | None = None

    def place(self, world_from_grid: Matrix | None) -> None:
        """See `occdepth_ros.models.predictor.PlacedPredictor`."""
        self.proposals.place(world_from_grid)

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Compute the tables of a calibration, or take those of an earlier, equal one.

        Raises:
            GridError: the network cannot predict this grid.
            ModelError: the device has too little memory.
        """
        self.config.check_grid(grid)
        with memory_guard(self.name, self.device):
            self._current = self._calibrations.of(rig, grid, lambda: self._tables(rig, grid))

    def _tables(self, rig: StereoRig, grid: VoxelGrid) -> _Calibration:
        fit = image_fit(self.config, rig)
        fitted = fit.rig(rig)
        # published weights are used to the grid that they were trained with, the small ones to this package's ground
        # ground truth
        trained, layers = trained_grid(grid) if self.config.placed else (grid, 0)
        references = References.of_cameras(self.config.working_grid(trained), views_of(self.config, fitted))
        visibility = VisibilityTable.of_camera(grid, rig.left, rig.left_from_grid)
        return _Calibration(rig, trained, layers, fit, references.to(self.device), visibility.to(self.device))

    @torch.inference_mode()
    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size.

        Raises:
            ModelError: it was not calibrated, or the device ran out of memory.
            CalibrationError: the images are too small to be matched.
        """
        if self._current is None:
            raise ModelError(
                "the predictor knows no calibration yet", where=self.name, remedy="Call calibrate(rig, grid) first."
            )
        with memory_guard(self.name, self.device):
            return self._infer(self._current, left, right)

    def _infer(self, tables: _Calibration, left: ImageArray, right: ImageArray) -> Occupancy:
        network, head, clock = self.network, self.network.pts_bbox_head, StageClock(self.device)
        self._depth.last = None
        proposed = self.proposals(left, right, tables.rig, tables.trained)
        depth = self._full_depth(tables)
        clock.lap("proposals")
        taken = np.stack([left, right][: self.config.cameras])
        images = tables.fit.apply(torch.from_numpy(taken).to(self.device))
        proposals = torch.from_numpy(proposed.reshape(-1)).to(self.device).nonzero().flatten()
        clock.lap("preprocess")
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = network.features(images.contiguous(memory_format=torch.channels_last))
            features = head.exchanged(features)
            clock.lap("images")
            with attention_format(self.config, features) as features:
                queries = head.cross(features, tables.references, proposals)
                clock.lap("cross")
                volume = head.attend(proposals, queries)
                clock.lap("self")
                if self.config.late:
                    volume = head.look_again(volume, features, tables.references.views())
                    clock.lap("late")
        labels, confidence = (shifted(part, tables.layers) for part in head.read_out(volume))
        clock.lap("head")
        visibility = tables.visibility.classify(torch.from_numpy(depth).to(self.device))
        result = Occupancy(labels.cpu().numpy(), confidence.cpu().numpy(), visibility.cpu().numpy(), depth)
        clock.lap("postprocess")
        result.timings_ms = clock.milliseconds()
        return result

    def _full_depth(self, tables: _Calibration) -> Depth:
        """Depth of the last pair at the rig's size, NaN where the proposals came from elsewhere or nothing matched."""
        size = tables.rig.left.height, tables.rig.left.width
        measured = self._depth.last
        if measured is None:
            return np.full(size, np.nan, np.float32)
        if measured.shape != size:
            # nearest: a mean over an edge would be a depth where nothing is
            measured = np.asarray(cv2.resize(measured, size[::-1], interpolation=cv2.INTER_NEAREST), np.float32)
        return measured


def views_of(config: MonoOccConfig, rig: StereoRig) -> list[tuple[PinholeCamera, Matrix]]:
    """The cameras of a rig that a network looks through, each with the pose of the grid's frame in its own."""
    return [(rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)][: config.cameras]


def image_fit(config: MonoOccConfig, rig: StereoRig) -> ImageFit:
    """How a rig's image becomes the network's: as it is where it has about the trained width, else scaled to it."""
    source = rig.left.height, rig.left.width
    ratio = config.width / source[1]
    if abs(ratio - 1) <= SAME_SCALE:
        return ImageFit(source, source, source)
    scaled = max(1, round(source[0] * ratio)), config.width
    return ImageFit(source, scaled, scaled)


SHIPPED = {"monoocc-edge": "monoocc-edge.safetensors"}
"""Weights file of each preset that has one in `occdepth_ros/weights`."""


def load_network(name: str, weights: Path | str | None) -> MonoOcc:
    """The network of a preset on the CPU with the weights of a file, those that ship or, for "random", seeded ones.

    Only what a prediction needs: without the decoder of the auxiliary loss, and without the image-conditioned
    cross-attention where the weights never learnt it.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    config = replace(PRESETS[name], semantic=False)
    if str(weights) == RANDOM or (weights is None and name not in SHIPPED):
        return with_weights(partial(MonoOcc, config), name, weights)
    if weights is None:
        with resources.as_file(resources.files("occdepth_ros.weights").joinpath(SHIPPED[name])) as weights:
            state = read_state(weights)
    else:
        state = read_state(Path(weights))
    network = MonoOcc(replace(config, late=config.late and was_late_trained(state)))
    try:
        load_published(network, state, where=str(weights))
    except CheckpointError as error:
        others = [other for other in recognise(state) if other != name]
        if not others:
            raise
        raise CheckpointError(
            f"these are weights of {' or '.join(others)}, not of {name}",
            where=str(weights),
            remedy=f"Choose the model {others[0]}, or other weights.",
        ) from error
    return network
