"""OccDepth with the tables of one calibration, as a module for the exporter."""

from __future__ import annotations

import torch
from torch import nn

from occdepth_ros.exporting.images import FixedFit
from occdepth_ros.exporting.sampling import FixedSampler
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import WEIGHT_GAIN, OccDepth
from occdepth_ros.models.occdepth.oad import expected_depth
from occdepth_ros.models.readout import labels_and_confidence


class ExportableOccDepth(nn.Module):
    """Maps images of the rig's size to labels, for one calibration.

    Args:
        network: the network with its weights, in evaluation mode, on the CPU.
        geometry: tables of the rig of the network's images.
        fit: transform from the rig's image to the network's image.
    """

    def __init__(self, network: OccDepth, geometry: SceneGeometry, fit: ImageFit) -> None:
        super().__init__()
        self.network = network
        self.fit = FixedFit(fit)
        self.geometry = geometry
        self.samplers = nn.ModuleList()
        height, width = network.config.image
        if geometry.oad_grid is not None and network.config.depth is not None:
            cells = (network.config.depth.count, -(-height // 8), -(-width // 8))
            for view in geometry.oad_grid:
                sampler = FixedSampler(view, cells)
                if geometry.oad_inside is not None:
                    inside = geometry.oad_inside.flatten()
                    sampler.weight = torch.where(inside > 0, sampler.weight / inside.clamp_min(1e-30), 0.0)
                self.samplers.append(sampler)

    def forward(self, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Predict.

        Args:
            images: one image per view, `[H, W, 3]` RGB uint8.

        Returns:
            labels and confidence `[X, Y, Z]` uint8; with a depth module also the depth of the network's left
            image, `[h, w]` float32, metres.
        """
        network, geometry = self.network, self.geometry
        features = network.features(self.fit(torch.stack(images))[None], network.config.scales)
        volume = network.lift(features, geometry)
        depth = network.depth(features, geometry)
        if depth is not None:
            volume = volume * (self.voxel_weight(depth) * WEIGHT_GAIN)
        full, _ = network.net_3d_decoder.volume(volume)
        logits, _ = network.net_3d_decoder.head(full)
        decided = labels_and_confidence(logits[0])
        return decided if depth is None else (*decided, expected_depth(depth, network.config))

    def voxel_weight(self, depth: torch.Tensor) -> torch.Tensor:
        """Return the depth distribution `[1, V, D, h, w]` read at every lifted voxel, `[1, 1, X, Y, Z]`."""
        samples = [sampler(depth[:, view])[0] for view, sampler in enumerate(self.samplers)]
        weight = sum(samples[1:], start=samples[0]).view(1, 1, *self.geometry.size)
        return weight if self.network.config.layout == "kitti" else weight.transpose(3, 4)
