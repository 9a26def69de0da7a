"""OccDepth: from images and calibration to semantic occupancy (figure 2 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from occdepth_ros.models.layers.bottleneck import Bottleneck3d
from occdepth_ros.models.occdepth.config import OccDepthConfig
from occdepth_ros.models.occdepth.decoder import Decoder
from occdepth_ros.models.occdepth.encoder import Encoder
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.oad import OccupancyAwareDepth, sample_weight
from occdepth_ros.models.occdepth.sfa import lift_views
from occdepth_ros.models.occdepth.unet3d import Completion, UNet3d
from occdepth_ros.models.occdepth.virtual_stereo import warp_to_right

Features = Mapping[int, torch.Tensor]
"""By 2-D scale s, `[B, V, C, ceil(H/s), ceil(W/s)]`."""

DEPTH_SCALE = 8
"""2-D scale whose features the depth module reads."""

WEIGHT_GAIN = 100.0
"""Factor on the depth weight, close to the number of bins, so that a uniform distribution has a weight of about 1."""


class UNet2d(nn.Module):
    """Encoder and decoder of the images."""

    def __init__(self, config: OccDepthConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.backbone)
        self.decoder = Decoder(
            self.encoder.out_channels,
            self.encoder.skip_channels,
            config.feature,
            finest_scale=config.finest_scale,
            width=config.decoder_width,
        )

    def forward(self, images: torch.Tensor, requested: tuple[int, ...] | None = None) -> dict[int, torch.Tensor]:
        """Map `[B, 3, H, W]` to maps `[B, C, ceil(H/s), ceil(W/s)]` by scale s."""
        maps: dict[int, torch.Tensor] = self.decoder(self.encoder(images), requested)
        return maps


@dataclass(frozen=True)
class OccDepthOutput:
    """Result for B scenes.

    Args:
        completion: logits of the 3-D network.
        depth: depth distribution of every view, `[B, V, D, h, w]`; None without depth module.
    """

    completion: Completion
    depth: torch.Tensor | None


class OccDepth(nn.Module):
    """OccDepth in one configuration; parameter names are those of the published checkpoints.

    The steps are methods that can be timed, compared or replaced individually; `forward` runs all of them.
    """

    def __init__(self, config: OccDepthConfig) -> None:
        super().__init__()
        self.config = config
        self.net_3d_decoder = UNet3d(config)
        self.net_rgb = UNet2d(config)
        self.flosp_depth = OccupancyAwareDepth(config) if config.depth is not None else None

    def forward(
        self, images: torch.Tensor, geometry: SceneGeometry, measured_depth: torch.Tensor | None = None
    ) -> OccDepthOutput:
        """Predict.

        Args:
            images: normalised images, `[B, V, 3, H, W]`, one (V = 1) where the second view is virtual.
            geometry: the tables of the calibration, on the same device.
            measured_depth: depth of the first view for a virtual second one, `[B, H, W]`, metres, 0 = none.
        """
        features = self.features(images)
        if self.config.virtual_bf is not None:
            assert measured_depth is not None
            features = self.with_virtual_view(features, measured_depth)
        depth = self.depth(features, geometry)
        volume = self.weigh(self.lift(features, geometry), depth, geometry)
        return OccDepthOutput(self.net_3d_decoder(volume), depth)

    def features(self, images: torch.Tensor, requested: tuple[int, ...] | None = None) -> dict[int, torch.Tensor]:
        """Return 2-D features by scale of images `[B, V, 3, H, W]`; `requested` as in the decoder.

        In training, views are processed one by one, since batch norm uses the statistics of each; otherwise, and with
        an encoder in evaluation mode, they form one batch.
        """
        b, v = images.shape[:2]
        if not self.training:
            maps = self.net_rgb(images.flatten(0, 1), requested)
            return {scale: m.unflatten(0, (b, v)) for scale, m in maps.items()}
        if self.net_rgb.encoder.training:
            views = [self.net_rgb(images[:, i], requested) for i in range(v)]
        else:
            seen = self.net_rgb.encoder(images.flatten(0, 1))
            views = [self.net_rgb.decoder({s: m[i::v] for s, m in seen.items()}, requested) for i in range(v)]
        return {scale: torch.stack([view[scale] for view in views], dim=1) for scale in views[0]}

    def with_virtual_view(self, features: Features, measured_depth: torch.Tensor) -> dict[int, torch.Tensor]:
        """Return the features of the first view and of the one warped from it, `[B, 2, C, h, w]` by scale."""
        bf = self.config.virtual_bf
        assert bf is not None
        return {
            scale: torch.stack([maps[:, 0], warp_to_right(maps[:, 0], measured_depth, bf / scale)], dim=1)
            for scale, maps in features.items()
        }

    def lift(self, features: Features, geometry: SceneGeometry) -> torch.Tensor:
        """Return the sum of the lifted features over the scales, `[B, C, X, Y, Z]`."""
        scenes = []
        for b in range(features[self.config.scales[0]].shape[0]):
            rows = [self.lift_scale(scale, features[scale][b], geometry) for scale in self.config.scales]
            scenes.append(sum(rows[1:], start=rows[0]))
        return self.volume_of_rows(torch.stack(scenes), geometry)

    def lift_scale(self, scale: int, features: torch.Tensor, geometry: SceneGeometry) -> torch.Tensor:
        """Lift one scale of one scene, `[V, C, h, w]` to `[N, C]`."""
        return lift_views(features, geometry.pixels[scale], geometry.visible, self.config.fusion)

    def volume_of_rows(self, rows: torch.Tensor, geometry: SceneGeometry) -> torch.Tensor:
        """Map `[B, N, C]` to `[B, C, X, Y, Z]`, or with the last two axes swapped in the NYU layout; no copy."""
        volume = rows.reshape(rows.shape[0], *geometry.size, -1).movedim(-1, 1)
        return volume if self.config.layout == "kitti" else volume.transpose(3, 4)

    def depth(self, features: Features, geometry: SceneGeometry) -> torch.Tensor | None:
        """Return the depth distribution of every view, `[B, V, D, h, w]`; None without depth module."""
        if self.flosp_depth is None:
            return None
        probabilities: torch.Tensor = self.flosp_depth(features[DEPTH_SCALE], geometry.camera_scalar)
        return probabilities

    def voxel_weight(self, depth: torch.Tensor, geometry: SceneGeometry) -> torch.Tensor:
        """Return the depth distribution read at every lifted voxel, `[B, 1, X, Y, Z]`."""
        assert geometry.oad_grid is not None
        weight = sample_weight(depth, geometry.oad_grid, geometry.oad_inside)
        return weight if self.config.layout == "kitti" else weight.transpose(3, 4)

    def weigh(self, volume: torch.Tensor, depth: torch.Tensor | None, geometry: SceneGeometry) -> torch.Tensor:
        """Return the lifted volume `[B, C, X, Y, Z]` times the depth weight: the input of the 3-D network."""
        if depth is None:
            return volume
        return volume * (self.voxel_weight(depth, geometry) * WEIGHT_GAIN).to(volume.dtype)


def freeze_unused(network: OccDepth) -> OccDepth:
    """Disable the gradients of parameters that published checkpoints contain but the network does not use.

    These are 67 tensors of the released network; distributed training would wait for their gradients forever.
    """
    rgb = network.net_rgb
    unused: list[nn.Module] = [rgb.encoder.original_model.bn2]
    scales = {*network.config.scales, *([DEPTH_SCALE] if network.config.depth else [])}
    unused += [rgb.decoder.get_submodule(f"resize_output_1_{s}") for s in rgb.decoder.scales if s not in scales]
    for block in network.modules():
        if isinstance(block, Bottleneck3d) and block.stride == 1:
            unused += [block.downsample2, block.downsample3, block.downsample4]
    for module in unused:
        module.requires_grad_(False)
    return network
