"""occdepth-edge whole: images, matched disparity and calibration in, semantic occupancy out."""

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
    """What the network says of one scene.

    Args:
        occupancy: occupancy logits by lifted voxel, `[1, 8, X, Y, Z]`.
        volume: the completed volume, `[1, C, X, Y, Z]`.
        lifted: the lifted 2-D features, `[1, F, X, Y, Z]`.
        depth: logits of the left image's depth distribution, `[1, D, H/8, W/8]`.
        semantics: class logits of the left image's pixels, `[1, n_classes, H/4, W/4]`; None unless training.
    """

    occupancy: torch.Tensor
    volume: torch.Tensor
    lifted: torch.Tensor
    depth: torch.Tensor
    semantics: torch.Tensor | None = None


class OccDepthEdge(nn.Module):
    """OccDepth with stereo matching as evidence.

    The steps are OccDepth's: 2-D features of both views, Stereo-SFA, occupancy-aware depth that weights the voxels,
    a 3-D U-Net, a cascade of occupancy and classes. What differs: matched disparity enters the depth module and the
    weighting, the weight is learnt per channel, and the finest 3-D resolution is only unfolded by the heads.
    """

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        self.config = config
        self.picture_net = ImageEncoder(config)
        self.depth_net = EdgeDepth(config)
        known = CHANNELS + 2
        width = config.feature
        self.gate = nn.Sequential(nn.Conv3d(known, 32, 1), nn.ReLU(inplace=True), nn.Conv3d(32, 2 * width, 1))
        # a short way from evidence to occupancy: most of it is simple, and is learnt within minutes
        self.direct = nn.Sequential(nn.Conv3d(known, 64, 1), nn.ReLU(inplace=True), nn.Conv3d(64, FINE, 1))
        self.unet = EdgeUNet(config)
        self.head = EdgeHead(config)

    def forward(
        self,
        images: torch.Tensor,
        measured: Measurement,
        geometry: EdgeGeometry,
        known: torch.Tensor | None = None,
        *,
        mirrored: bool = False,
    ) -> EdgeOutput:
        """Predict one scene.

        Args:
            images: both normalised images, `[2, 3, H, W]`.
            measured: the matcher's result.
            geometry: tables of the calibration, on the same device.
            known: the evidence of this measurement, if it was computed before.
            mirrored: complete the scene mirrored left to right (y to -y): augmentation after lifting.
        """
        pyramid, features = self.picture_net(images)
        semantics = self.picture_net.semantics(pyramid[FINEST][:1]) if self.training else None
        depth = self.depth_net(pyramid[SCALE][:1], measured, geometry)
        lifted = self.lift(features, geometry)
        known = evidence(measured, geometry) if known is None else known
        known = torch.cat([known, voxel_depth(depth, geometry)], 1)
        if mirrored:
            lifted, known = lifted.flip(3), mirror(known)
        volume = self.complete(lifted, known)
        return EdgeOutput(self.occupancy(volume, known), volume, lifted, depth, semantics)

    def lift(self, features: torch.Tensor, geometry: EdgeGeometry) -> torch.Tensor:
        """Stereo-SFA of both views, `[2, F, h, w]` to `[1, F, X, Y, Z]` (OccDepth, section 3.2)."""
        rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # [2, h w, F]
        # norms of map cells, of which there are few, instead of voxels
        norms = rows.float().norm(dim=2).clamp_min(1e-4)
        left, right = geometry.pixels
        seen_left, seen_right = geometry.visible
        a = rows[0].index_select(0, left) * seen_left[:, None]
        b = rows[1].index_select(0, right) * seen_right[:, None]
        similarity = (a * b).sum(1).float() / (norms[0].index_select(0, left) * norms[1].index_select(0, right))
        weight = torch.where(seen_left & seen_right, similarity, 1.0) / 2
        fused = (a + b) * weight.to(a.dtype)[:, None]
        return fused.view(1, *geometry.size, -1).movedim(-1, 1)

    def occupancy(self, volume: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Occupancy logits of the voxels by lifted voxel, `[1, 8, X, Y, Z]`."""
        logits: torch.Tensor = self.head(volume) + self.direct(known)
        return logits

    def complete(self, lifted: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Weight the lifted features by what is known of depth, and complete, `[1, C, X, Y, Z]`."""
        weight, bias = self.gate(known.contiguous(memory_format=torch.channels_last_3d)).chunk(2, 1)
        x = lifted * weight.sigmoid() + bias
        out: torch.Tensor = self.unet(x.contiguous(memory_format=torch.channels_last_3d))
        return out


def mirror(known: torch.Tensor) -> torch.Tensor:
    """Evidence and depth weights of the scene mirrored left to right, `[1, CHANNELS + 2, X, Y, Z]`."""
    fine = FINE_KINDS * FINE
    order = torch.arange(known.shape[1], device=known.device)
    # within a lifted voxel the eight are ordered (x, y, z): swap the y halves
    order[:fine] = order[:fine].view(FINE_KINDS, LIFT, LIFT, LIFT).flip(2).flatten()
    out = known[:, order].flip(3)
    sign = torch.ones(known.shape[1], device=known.device)
    sign[fine + 5] = -1  # the position to the right
    return out * sign.view(1, -1, 1, 1, 1)
