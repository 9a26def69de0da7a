"""Predictor of MonoOcc.

The network uses the left image only; the depth of its query proposals comes from the stereo pair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.images import SAME_SCALE, ImageFit
from occdepth_ros.models.loading.state import State
from occdepth_ros.models.loading.weights import with_weights
from occdepth_ros.models.monoocc.config import PRESETS, MonoOccConfig
from occdepth_ros.models.monoocc.network import NARROW, MonoOcc, attention_format
from occdepth_ros.models.monoocc.proposals.semi_global import SemiGlobalDepth
from occdepth_ros.models.monoocc.proposals.source import Depth, DepthSource, ProposalSource
from occdepth_ros.models.monoocc.proposals.stereo import StereoProposals
from occdepth_ros.models.monoocc.published import load_published, recognise, was_late_trained
from occdepth_ros.models.monoocc.reference_points import References
from occdepth_ros.models.network_predictor import NetworkPredictor, occupancy_of
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.models.readout import VisibilityTable
from occdepth_ros.models.runtime.device import Precision, pick_precision
from occdepth_ros.models.runtime.inference import channels_last, fold_norms, stored_as
from occdepth_ros.models.runtime.memory import keep_freed_memory, memory_guard
from occdepth_ros.models.runtime.timing import StageClock
from occdepth_ros.models.trained_height import shifted, trained_grid

SWEEPS = 9
"""Number of earlier pairs whose points are merged into the proposals of the published networks, as in their training;
the small preset was trained on single pairs."""


class CachedDepth:
    """A depth source that caches its last result, which both the proposals and the visibility of voxels use.

    Args:
        source: depth source.
    """

    def __init__(self, source: DepthSource) -> None:
        self._source = source
        self.last: Depth | None = None

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Depth:
        """See `DepthSource`."""
        self.last = self._source(left, right, rig, grid)
        return self.last


@dataclass(frozen=True)
class MonoOccTables:
    """Tables of one calibration.

    Args:
        rig: the calibrated cameras.
        trained: grid on which the network predicts.
        layers: height of the requested grid above the trained grid, layers.
        fit: transform from the rig's image to the network's image.
        references: projection of the working voxels.
        visibility: projection of the voxels of the requested grid.
    """

    rig: StereoRig
    trained: VoxelGrid
    layers: int
    fit: ImageFit
    references: References
    visibility: VisibilityTable


class MonoOccPredictor(NetworkPredictor[MonoOccTables]):
    """MonoOcc with loaded weights on one device.

    Args:
        name: a preset of `occdepth_ros.models.monoocc.config.PRESETS` without earlier images.
        weights: weights file, "random", or None for the shipped weights. The file determines whether the
            image-conditioned cross-attention is used.
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N"; matching runs on the CPU.
        precision: number format of convolutions and linear layers; "auto" selects bfloat16 if the hardware multiplies
            it. Sampling locations are always float32.
        depth: source of the proposals' depth; None = semi-global matching.
        proposals: source of the proposals; None = the voxels that contain points of `depth`. In the presets of the
            published networks these are merged with those of `SWEEPS` earlier pairs if `set_pose` set their poses.

    Raises:
        ModelError: the name or the device does not exist, the network needs earlier images, or the device has too
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
        super().__init__(name, weights, device, [key for key, config in PRESETS.items() if not config.past])
        self.dtype = pick_precision(precision, self.device)
        network = fold_norms(load_network(name, weights).eval()).requires_grad_(False)
        self.config = network.config
        with memory_guard(self.name, self.device):
            self.network = channels_last(network.to(self.device))
            head = self.network.pts_bbox_head
            keep_freed_memory(self.device)
            wide = head.transformers() if self.config.channels >= NARROW else []
            for part in (self.network.img_backbone, self.network.img_neck, *wide):
                stored_as(part, self.dtype)
        # other sources predict a depth for every pixel, or no depth
        is_matched = depth is None and proposals is None
        self.free_space = FreeSpace.MATCHED_DEPTH if is_matched else FreeSpace.UNSUPPORTED
        self._depth = CachedDepth(depth or SemiGlobalDepth())
        history = 0 if name.startswith("monoocc-edge") else SWEEPS
        self.proposals: ProposalSource = proposals or StereoProposals(self._depth, history=history)

    def set_pose(self, world_from_grid: Matrix | None) -> None:
        """See `occdepth_ros.models.predictor.StatefulPredictor`."""
        self.proposals.set_pose(world_from_grid)

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept grids of the trained size and resolution."""
        self.config.check_grid(grid)

    def tables(self, rig: StereoRig, grid: VoxelGrid) -> MonoOccTables:
        """Compute the tables of one calibration."""
        fit = image_fit(self.config, rig)
        # published weights were trained on the grid that users request, the small weights on this package's ground
        # truth
        trained, layers = trained_grid(grid) if self.config.placed else (grid, 0)
        references = References.of_cameras(self.config.working_grid(trained), views_of(self.config, fit.rig(rig)))
        visibility = VisibilityTable.of_camera(grid, rig.left, rig.left_from_grid)
        return MonoOccTables(rig, trained, layers, fit, references.to(self.device), visibility.to(self.device))

    def predict(self, tables: MonoOccTables, images: tuple[ImageArray, ImageArray], clock: StageClock) -> Occupancy:
        """Predict one pair, see `NetworkPredictor.predict`.

        Raises:
            CalibrationError: the images are too small to be matched.
        """
        network, head = self.network, self.network.pts_bbox_head
        self._depth.last = None
        proposed = self.proposals(*images, tables.rig, tables.trained)
        depth = torch.from_numpy(self._full_depth(tables))
        clock.lap("proposals")
        views = torch.from_numpy(np.stack(images[: self.config.cameras])).to(self.device)
        normalized = tables.fit.apply(views).contiguous(memory_format=torch.channels_last)
        proposals = torch.from_numpy(proposed.reshape(-1)).to(self.device).nonzero().flatten()
        clock.lap("preprocess")
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = head.exchanged(network.features(normalized))
            clock.lap("images")
            with attention_format(self.config, features) as features:
                queries = head.cross(features, tables.references, proposals)
                clock.lap("cross")
                volume = head.attend(proposals, queries)
                clock.lap("self")
                if self.config.late:
                    volume = head.attend_late(volume, features, tables.references.views())
                    clock.lap("late")
        labels, confidence = (shifted(part, tables.layers) for part in head.read_out(volume))
        clock.lap("head")
        return occupancy_of(labels, confidence, tables.visibility.classify(depth.to(self.device)), depth)

    def _full_depth(self, tables: MonoOccTables) -> Depth:
        """Return the depth of the last pair at the rig's size, metres; NaN without a match or with other proposal
        sources.
        """
        size = tables.rig.left.height, tables.rig.left.width
        depth = self._depth.last
        if depth is None:
            return np.full(size, np.nan, np.float32)
        if depth.shape != size:
            # nearest neighbour: the mean over a depth edge is the depth of neither surface
            depth = np.asarray(cv2.resize(depth, size[::-1], interpolation=cv2.INTER_NEAREST), np.float32)
        return depth


def views_of(config: MonoOccConfig, rig: StereoRig) -> list[tuple[PinholeCamera, Matrix]]:
    """Return the cameras whose images the network reads, each with the pose of the grid's frame in the camera."""
    return [(rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)][: config.cameras]


def image_fit(config: MonoOccConfig, rig: StereoRig) -> ImageFit:
    """Return the fit of a rig's image: unchanged within 5 % of the trained width, else scaled to it."""
    source = rig.left.height, rig.left.width
    ratio = config.width / source[1]
    if abs(ratio - 1) <= SAME_SCALE:
        return ImageFit(source, source, source)
    scaled = max(1, round(source[0] * ratio)), config.width
    return ImageFit(source, scaled, scaled)


SHIPPED = {name: f"{name}.safetensors" for name in ("monoocc-edge", "monoocc-edge-kitti")}
"""Weights files of presets in `occdepth_ros/weights`."""


def load_network(name: str, weights: Path | str | None) -> MonoOcc:
    """Return the network of a preset on the CPU, with weights from a file, the shipped weights, or seeded random ones.

    Parts that predictions do not need are left out: the decoder of the auxiliary loss, and the image-conditioned
    cross-attention if it is untrained in the weights.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    config = replace(PRESETS[name], semantic=False)

    def make(state: State | None) -> MonoOcc:
        return MonoOcc(config if state is None else replace(config, late=config.late and was_late_trained(state)))

    return with_weights(make, name, weights, shipped=SHIPPED.get(name), recognise=recognise, load=load_published)
