"""occdepth-edge-sfa: from images, matched disparity and calibration to semantic occupancy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from occdepth_ros.models.edge.completion import EdgeHead, EdgeUNet
from occdepth_ros.models.edge.config import EdgeConfig
from occdepth_ros.models.edge.depth import SCALE, EdgeDepth, voxel_depth
from occdepth_ros.models.edge.evidence import CHANNELS, FINE, FINE_KINDS, Measurement, evidence
from occdepth_ros.models.edge.geometry import LIFT, EdgeGeometry
from occdepth_ros.models.edge.image_encoder import FINEST, ImageEncoder


@dataclass(frozen=True)
class EdgeOutput:
    """Output of the network for one scene.

    Args:
        occupancy: occupancy logits by lifted voxel, `[1, 8, X, Y, Z]`.
        volume: the completed volume, `[1, C, X, Y, Z]`.
        lifted: the lifted 2-D features, `[1, F, X, Y, Z]`.
        depth: logits of the left image's depth distribution, `[1, D, H/8, W/8]`.
        semantics: class logits of the left image's pixels, `[1, n_classes, H/4, W/4]`; None except in training.
    """

    occupancy: torch.Tensor
    volume: torch.Tensor
    lifted: torch.Tensor
    depth: torch.Tensor
    semantics: torch.Tensor | None = None


class OccDepthEdge(nn.Module):
    """OccDepth with stereo matching as evidence.

    The steps are OccDepth's: 2-D features of both views, Stereo-SFA, occupancy-aware depth that weights the voxels,
    a 3-D U-Net, and a cascade of occupancy and classes. Differences: matched disparity is an input of the depth module
    and of the weighting, the weights are per channel, and the heads unfold the finest 3-D resolution.
    """

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        self.config = config
        self.picture_net = ImageEncoder(config)
        self.depth_net = EdgeDepth(config)
        channels = CHANNELS + 2
        width = config.feature
        self.gate = nn.Sequential(nn.Conv3d(channels, 32, 1), nn.ReLU(inplace=True), nn.Conv3d(32, 2 * width, 1))
        # a shortcut from evidence to occupancy, which speeds up training
        self.direct = nn.Sequential(nn.Conv3d(channels, 64, 1), nn.ReLU(inplace=True), nn.Conv3d(64, FINE, 1))
        self.unet = EdgeUNet(config)
        self.head = EdgeHead(config)

    def forward(
        self,
        images: torch.Tensor,
        stereo: Measurement,
        geometry: EdgeGeometry,
        voxel_evidence: torch.Tensor | None = None,
        *,
        mirrored: bool = False,
    ) -> EdgeOutput:
        """Predict one scene.

        Args:
            images: both normalised images, `[2, 3, H, W]`.
            stereo: result of matching.
            geometry: tables of the calibration, on the same device.
            voxel_evidence: precomputed `evidence` of this scene; None = it is computed.
            mirrored: whether the scene is mirrored left to right (y to -y) after lifting, for augmentation.
        """
        pyramid, features = self.picture_net(images)
        semantics = self.picture_net.semantics(pyramid[FINEST][:1]) if self.training else None
        depth = self.depth_net(pyramid[SCALE][:1], stereo, geometry)
        lifted = self.lift(features, geometry)
        voxel_evidence = evidence(stereo, geometry) if voxel_evidence is None else voxel_evidence
        voxel_evidence = torch.cat([voxel_evidence, voxel_depth(depth, geometry)], 1)
        if mirrored:
            lifted, voxel_evidence = lifted.flip(3), mirror(voxel_evidence)
        volume = self.complete(lifted, voxel_evidence)
        return EdgeOutput(self.occupancy(volume, voxel_evidence), volume, lifted, depth, semantics)

    def lift(self, features: torch.Tensor, geometry: EdgeGeometry) -> torch.Tensor:
        """Lift features of both views, `[2, F, h, w]`, to `[1, F, X, Y, Z]` by Stereo-SFA (OccDepth, section 3.2)."""
        rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # [2, h w, F]
        # norms of map cells, which are fewer than voxels
        norms = rows.float().norm(dim=2).clamp_min(1e-4)
        left, right = geometry.pixels
        seen_left, seen_right = geometry.visible
        a = rows[0].index_select(0, left) * seen_left[:, None]
        b = rows[1].index_select(0, right) * seen_right[:, None]
        similarity = (a * b).sum(1).float() / (norms[0].index_select(0, left) * norms[1].index_select(0, right))
        weight = torch.where(seen_left & seen_right, similarity, 1.0) / 2
        fused = (a + b) * weight.to(a.dtype)[:, None]
        return fused.view(1, *geometry.size, -1).movedim(-1, 1)

    def occupancy(self, volume: torch.Tensor, voxel_evidence: torch.Tensor) -> torch.Tensor:
        """Return the occupancy logits of the voxels by lifted voxel, `[1, 8, X, Y, Z]`."""
        logits: torch.Tensor = self.head(volume) + self.direct(voxel_evidence)
        return logits

    def complete(self, lifted: torch.Tensor, voxel_evidence: torch.Tensor) -> torch.Tensor:
        """Weight the lifted features by the evidence, and complete, `[1, C, X, Y, Z]`."""
        weight, bias = self.gate(voxel_evidence.contiguous(memory_format=torch.channels_last_3d)).chunk(2, 1)
        x = lifted * weight.sigmoid() + bias
        out: torch.Tensor = self.unet(x.contiguous(memory_format=torch.channels_last_3d))
        return out


def mirror(voxel_evidence: torch.Tensor) -> torch.Tensor:
    """Return the evidence and depth weights of the scene mirrored left to right, `[1, CHANNELS + 2, X, Y, Z]`."""
    fine = FINE_KINDS * FINE
    order = torch.arange(voxel_evidence.shape[1], device=voxel_evidence.device)
    # the eight voxels of a lifted voxel are ordered (x, y, z): swap the y halves
    order[:fine] = order[:fine].view(FINE_KINDS, LIFT, LIFT, LIFT).flip(2).flatten()
    out = voxel_evidence[:, order].flip(3)
    sign = torch.ones(voxel_evidence.shape[1], device=voxel_evidence.device)
    sign[fine + 5] = -1  # the position to the right
    return out * sign.view(1, -1, 1, 1, 1)
