"""occdepth-edge-sfa with the tables of one calibration, as a module for the exporter, without stereo matching."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.exporting.sampling import FixedSampler
from occdepth_ros.models.edge.depth import SCALE, combined_depth
from occdepth_ros.models.edge.evidence import compared, unfolded
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.edge.network import OccDepthEdge
from occdepth_ros.models.edge.readout import thresholds
from occdepth_ros.models.trained_height import shifted


class ExportableEdge(nn.Module):
    """Maps resized images and stereo evidence to labels.

    Args:
        network: the network with its weights, in evaluation mode, in float32 on the CPU.
        geometry: tables of the rig of the network's images on the trained grid.
        layers: height of the predicted grid above the trained grid, layers; see `models.trained_height`.
    """

    def __init__(self, network: OccDepthEdge, geometry: EdgeGeometry, layers: int = 0) -> None:
        super().__init__()
        self.layers = layers
        self.network = network
        self.geometry = replace(geometry, pixels=geometry.pixels.int(), fine_pixel=geometry.fine_pixel.int())
        height, width = network.config.image
        shape = (network.config.depth.count, height // SCALE, width // SCALE)
        self.sampler = FixedSampler(geometry.depth_grid, shape)

    def forward(
        self,
        left: torch.Tensor,
        right: torch.Tensor,
        disparity: torch.Tensor,
        hits: torch.Tensor,
        ground: torch.Tensor,
        ground_seen: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Predict.

        Args:
            left, right: images at the network's scale, `[h, w, 3]` RGB uint8.
            disparity: disparity of the left image, `[H, W]` float32, pixels of the network's image; 0 = none.
            hits: matched pixels that end in each voxel, `[X, Y, Z]` float32.
            ground: height of the ground by column, `[X, Y]` float32, voxel edges above the grid's lower face.
            ground_seen: 1 where the ground is visible in the image, else 0, `[X, Y]` float32.

        Returns:
            labels and confidence `[X, Y, Z]` uint8, and the depth of the network's left image, `[H, W]` float32,
            metres.
        """
        network, geometry = self.network, self.geometry
        images = network.picture_net.normalized(torch.stack([left, right]))
        pyramid, features = network.picture_net(images)
        matched = geometry.focal_baseline / disparity.clamp_min(1e-3)
        depth = torch.where(disparity > 0, matched, -1.0)
        histogram, share = dense_histogram(depth, network.depth_net.bin_edges, SCALE)
        distribution = network.depth_net.corrected(pyramid[SCALE][:1], histogram, share)
        evidence = compared(disparity, hits.flatten(), ground, ground_seen, geometry)
        evidence = torch.cat([evidence, self.voxel_depth(distribution)], 1)
        lifted = network.lift(features, geometry)
        volume = network.complete(lifted, evidence)
        occupied = network.occupancy(volume, evidence)[0].sigmoid().flatten(1)  # [8, N]
        threshold = thresholds(evidence, geometry.visible[0], network.config.thresholds)
        labels, confidence = self.decide(volume, lifted, occupied, threshold)
        labels, confidence = (shifted(volume, self.layers) for volume in (labels, confidence))
        combined = combined_depth(distribution, network.depth_net.bin_edges, disparity, geometry.focal_baseline)
        return labels, confidence, combined

    def voxel_depth(self, logits: torch.Tensor) -> torch.Tensor:
        """See `models.edge.depth.voxel_depth`."""
        probability = logits[0].softmax(0)
        before = probability.cumsum(0) - probability
        return self.sampler(torch.stack([probability, before])).view(1, 2, *self.geometry.size)

    def decide(
        self, volume: torch.Tensor, lifted: torch.Tensor, occupied: torch.Tensor, threshold: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `models.edge.readout.decide`; all voxels are classified, since the number of occupied ones varies."""
        logits = self.network.head.classify(volume, lifted)  # [N, 8, n - 1]
        best, label = logits.max(2)
        probability = (best - logits.logsumexp(2)).exp()
        taken = occupied > threshold
        labels = torch.where(taken, label.T.int() + 1, 0)
        sure = torch.where(taken, occupied * probability.T, 1 - occupied)
        size = self.geometry.size
        return unfolded(labels, size).to(torch.uint8), unfolded((sure * 255).round(), size).to(torch.uint8)


def dense_histogram(depth: torch.Tensor, edges: torch.Tensor, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute `depth_histogram` without scattered sums, which TensorRT does not support.

    Args:
        depth: `[H, W]`, metres, negative = unknown.
        edges, scale: see `depth_histogram`.
    """
    above = depth[None] > edges[:, None, None]  # [D + 1, H, W]
    inside = (above[:-1] & ~above[1:]).float()
    share = F.avg_pool2d(inside, scale)
    total = share.sum(0, keepdim=True)
    # at least one pixel of the cell, as in the division of counts
    return share / total.clamp_min(1 / scale**2), total
