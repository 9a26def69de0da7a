"""Reference networks: the float32 inference paths with which the optimized predictors are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.predictor import EdgePredictor
from occdepth_ros.models.edge_bev.predictor import EdgeBevPredictor
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.predictor import MonoOccPredictor, image_fit
from occdepth_ros.models.monoocc.predictor import load_network as load_monoocc
from occdepth_ros.models.monoocc.reference import reference_logits
from occdepth_ros.models.monoocc.reference_points import References
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor, load_network
from occdepth_ros.models.predictor import ImageArray
from occdepth_ros.models.readout import labels_and_confidence
from occdepth_ros.models.runtime.timing import StageClock
from occdepth_ros.models.trained_height import shifted, trained_grid

Labels = npt.NDArray[np.uint8]
Stages = dict[str, float]
InferencePath = Callable[[ImageArray, ImageArray], tuple[Labels, Stages]]
"""A function from an image pair to labels, `[X, Y, Z]`, and milliseconds by stage."""
Compared = OccDepthPredictor | EdgePredictor | EdgeBevPredictor | MonoOccPredictor


class ReferenceNetwork:
    """OccDepth in float32 as published: views one by one, every 2-D scale, torch's default memory layout."""

    def __init__(self, network: OccDepth, device: torch.device, rig: StereoRig, grid: VoxelGrid) -> None:
        config = network.config
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = device
        self.fit = ImageFit.between((rig.left.height, rig.left.width), config.image)
        self.geometry = SceneGeometry.of_rig(config, self.fit.rig(rig), grid).to(device)

    @torch.inference_mode()
    def infer(self, left: ImageArray, right: ImageArray) -> tuple[Labels, Stages]:
        """Return the labels of one pair, `[X, Y, Z]`, and milliseconds by stage."""
        network, clock = self.network, StageClock(self.device)
        images = torch.from_numpy(np.stack((left, right)[: network.config.views])).to(self.device)
        images = self.fit.apply(images).contiguous()
        clock.lap("preprocess")
        maps = [network.net_rgb.encoder(images[i : i + 1]) for i in range(len(images))]
        clock.lap("encoder")
        views = [network.net_rgb.decoder(m) for m in maps]
        features = {scale: torch.stack([view[scale] for view in views], dim=1) for scale in views[0]}
        del maps, views
        clock.lap("decoder2d")
        volume = network.lift(features, self.geometry)
        clock.lap("sfa")
        volume = network.weigh(volume, network.depth(features, self.geometry), self.geometry).contiguous()
        del features
        clock.lap("oad")
        full, _ = network.net_3d_decoder.volume(volume)
        clock.lap("net3d")
        logits, _ = network.net_3d_decoder.head(full)
        clock.lap("head")
        labels, _ = labels_and_confidence(logits[0])
        found = labels.cpu().numpy()
        clock.lap("postprocess")
        return found, clock.milliseconds()


class ReferenceMonoOcc:
    """MonoOcc in float32 with its equations in standard form; proposals are those of the predictor."""

    def __init__(self, network: MonoOcc, predictor: MonoOccPredictor, rig: StereoRig, grid: VoxelGrid) -> None:
        self.network = network.eval().requires_grad_(False).to(predictor.device)
        self.predictor, self.rig = predictor, rig
        self.grid, self.layers = trained_grid(grid) if network.config.placed else (grid, 0)
        self.fit = image_fit(network.config, rig)
        resized = self.fit.rig(rig)
        working = network.config.working_grid(self.grid)
        references = References.of_cameras(working, [(resized.left, resized.left_from_grid)])
        self.references = references.to(predictor.device)

    @torch.inference_mode()
    def infer(self, left: ImageArray, right: ImageArray) -> tuple[Labels, Stages]:
        """Return the labels of one pair, `[X, Y, Z]`, and milliseconds by stage."""
        device = self.predictor.device
        clock = StageClock(device)
        proposed = self.predictor.proposals(left, right, self.rig, self.grid)
        clock.lap("proposals")
        images = self.fit.apply(torch.from_numpy(left[None]).to(device))
        requested = torch.from_numpy(proposed.reshape(-1)).to(device)
        clock.lap("preprocess")
        logits = reference_logits(self.network, images, self.references, requested)
        clock.lap("network")
        labels, _ = labels_and_confidence(logits)
        found = shifted(labels, self.layers).cpu().numpy()
        clock.lap("postprocess")
        return found, clock.milliseconds()


def reference_path(
    model: str,
    predictor: Compared,
    weights: Path | str | None,
    rig: StereoRig,
    grid: VoxelGrid,
) -> InferencePath:
    """Return the float32 reference network of a predictor; OccDepth runs as published.

    Raises:
        GridError, ModelError, CheckpointError: as for the predictor.
    """
    if isinstance(predictor, MonoOccPredictor):
        return ReferenceMonoOcc(load_monoocc(model, weights), predictor, rig, grid).infer
    if isinstance(predictor, OccDepthPredictor):
        return ReferenceNetwork(load_network(model, weights), predictor.device, rig, grid).infer
    reference = type(predictor)(name=model, weights=weights, device=str(predictor.device), precision="float32")
    reference.calibrate(rig, grid)

    def infer(left: ImageArray, right: ImageArray) -> tuple[Labels, Stages]:
        found = reference.infer(left, right)
        return found.labels, dict(found.timings_ms)

    return infer
