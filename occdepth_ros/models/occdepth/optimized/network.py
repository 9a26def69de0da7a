"""The inference path of every OccDepth configuration: one scene, images to class logits."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import nn

from occdepth_ros.models.layers.basic_block import BasicBlock
from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.occdepth.config import OccDepthConfig
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import DEPTH_SCALE, WEIGHT_GAIN, OccDepth
from occdepth_ros.models.occdepth.oad import DepthNet, OccupancyAwareDepth
from occdepth_ros.models.occdepth.optimized.decoder import OptimizedDecoder
from occdepth_ros.models.occdepth.optimized.encoder import OptimizedEncoder
from occdepth_ros.models.occdepth.optimized.lifting import lift_seen, seen_weight
from occdepth_ros.models.occdepth.optimized.tables import OptimizedTables
from occdepth_ros.models.occdepth.optimized.volume import OptimizedUNet3d
from occdepth_ros.models.occdepth.virtual_stereo import warp_to_right

Precision = Literal["float32", "mixed", "bfloat16", "float16"]
"""mixed: encoder, depth and 2-D maps up to scale 1/4 in float32; finer maps, 3-D network and head in bfloat16."""


class OptimizedDepthNet(nn.Module):
    """The depth network with fused convolutions."""

    def __init__(self, net: DepthNet, dtype: torch.dtype) -> None:
        super().__init__()
        self.reduce = FusedConv(net.reduce_conv[0], net.reduce_conv[1], "relu", dtype)
        # the two small matrices of the calibration stay in float32
        self.mlp, self.se = net.mlp, net.se
        blocks = [cast(BasicBlock, block) for block in net.depth_conv]
        self.conv1 = nn.ModuleList(FusedConv(b.conv1, b.bn1, "relu", dtype) for b in blocks)
        self.conv2 = nn.ModuleList(FusedConv(b.conv2, b.bn2, "relu", dtype) for b in blocks)
        self.predict = FusedConv(net.depth_pred, None, "none", dtype)

    def forward(self, x: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        """Map `[V, C, h, w]` and the camera scalars `[V]` to probabilities `[1, V, D, h, w]`, float32."""
        gate = self.se(torch.ones(len(camera), 1, 1, 1, device=x.device), self.mlp(camera[:, None]))
        x = self.reduce(x) * gate.to(x.dtype)
        for conv1, conv2 in zip(self.conv1, self.conv2, strict=True):
            x = conv2(conv1(x), x)
        logits: torch.Tensor = self.predict(x)
        return logits.float().softmax(dim=1)[None]


class OptimizedOccDepth(nn.Module):
    """OccDepth for inference.

    The result equals that of the reference network up to rounding: norms are folded, activations and sums are fused
    into the convolutions, both views form one batch, and voxels outside all views are skipped before the 3-D network.
    In float32 on a CPU the taps of the 2-D decoder are computed before its upsampling, its wide convolutions by
    Winograd's transforms, and its finest block only for pixels that voxels read. The steps are methods, as in the
    reference network.

    Args:
        network: the reference network with its weights, in evaluation mode; its parameters may be shared.
        precision: number formats.
        device: device on which the network will run.
    """

    def __init__(self, network: OccDepth, precision: Precision = "float32", device: torch.device | None = None) -> None:
        super().__init__()
        self.config: OccDepthConfig = network.config
        on_cpu = device is None or device.type == "cpu"
        self.precision = precision
        flat: torch.dtype = torch.float32 if precision == "mixed" else getattr(torch, precision)
        deep: torch.dtype = torch.bfloat16 if precision == "mixed" else flat
        self.image_dtype = flat
        config = self.config
        requested = config.scales if config.depth is None else tuple({*config.scales, DEPTH_SCALE})
        self.encoder = OptimizedEncoder(network.net_rgb.encoder, flat)
        # gathers in place of multiplications are faster in float32 on CPUs only
        commute = on_cpu and flat == torch.float32
        self.sparse = commute and deep == torch.float32 and 1 in config.scales and config.virtual_bf is None
        self.decoder = OptimizedDecoder(network.net_rgb.decoder, requested, dtype=flat, fine=deep, commute=commute)
        self.depth_net: OptimizedDepthNet | None = None
        if network.flosp_depth is not None:
            oad: OccupancyAwareDepth = network.flosp_depth
            self.depth_net = OptimizedDepthNet(cast(DepthNet, oad.depth_net[0]), flat)
        self.unet = OptimizedUNet3d(network.net_3d_decoder, deep)

    def tables(self, geometry: SceneGeometry) -> OptimizedTables:
        """Compute the tables of a calibration, on the CPU; `geometry` must be on the CPU, too."""
        return OptimizedTables.of(self.config, geometry, sparse=self.sparse)

    def forward(
        self, images: torch.Tensor, tables: OptimizedTables, measured_depth: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Predict one scene.

        Args:
            images: normalised images, `[V, 3, H, W]`.
            tables: tables of the calibration, on the same device.
            measured_depth: depth of the first view for a virtual second one, `[1, H, W]`, metres, 0 = none.

        Returns:
            class logits `[1, n_classes, X, Y, Z]` (NYU: `[.., X, Z, Y]`) and depth distribution `[1, V, D, h, w]`.
        """
        maps, rows = self.features(self.encoder(self.prepared(images)), tables, measured_depth)
        lifted = self.lift(maps, rows, tables)
        depth = self.depth(maps, tables)
        return self.unet.head(self.unet.volume(self.weigh(lifted, depth, tables))), depth

    def prepared(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images in the format and layout of the encoder."""
        return images.to(self.image_dtype).contiguous(memory_format=torch.channels_last)

    def features(
        self, maps: dict[int, torch.Tensor], tables: OptimizedTables, measured_depth: torch.Tensor | None = None
    ) -> tuple[dict[int, torch.Tensor], torch.Tensor | None]:
        """Return 2-D features of the encoder's maps, `[V, C, h, w]` by scale, and finest-scale rows, `[P, C]`."""
        found, rows = self.decoder(maps, tables.sparse_pixels)
        bf = self.config.virtual_bf
        if bf is not None:
            assert measured_depth is not None
            found = {s: torch.cat([m, warp_to_right(m, measured_depth, bf / s)]) for s, m in found.items()}
        return found, rows

    def lift(self, maps: dict[int, torch.Tensor], rows: torch.Tensor | None, tables: OptimizedTables) -> torch.Tensor:
        """Return the fused features of the seen voxels, `[S, C]`."""
        pixels = {s: maps[s].permute(0, 2, 3, 1).flatten(0, 2) for s in self.config.scales if s in maps}
        if rows is not None:
            pixels[1] = rows
        return lift_seen(self.config, pixels, tables)

    def depth(self, maps: dict[int, torch.Tensor], tables: OptimizedTables) -> torch.Tensor | None:
        """Return the depth distribution of every view, `[1, V, D, h, w]`; None without depth module."""
        if self.depth_net is None:
            return None
        found: torch.Tensor = self.depth_net(maps[DEPTH_SCALE], tables.geometry.camera_scalar)
        return found

    def weigh(self, lifted: torch.Tensor, depth: torch.Tensor | None, tables: OptimizedTables) -> torch.Tensor:
        """Return the 3-D network's input, `[1, C, X, Y, Z]`."""
        if depth is not None:
            lifted = lifted * (seen_weight(depth, tables) * WEIGHT_GAIN)[:, None]
        size = tables.geometry.size
        rows = lifted.new_zeros(size[0] * size[1] * size[2], lifted.shape[1], dtype=self.unet.dtype)
        rows.index_copy_(0, tables.seen, lifted.to(self.unet.dtype))
        volume = rows.view(1, *size, -1).movedim(-1, 1)
        return volume if self.config.layout == "kitti" else volume.transpose(3, 4)


def compiled(network: OptimizedOccDepth) -> OptimizedOccDepth:
    """Compile the networks by torch.compile with CUDA graphs, in place; for CUDA devices.

    All parts have constant shapes, as CUDA graphs require. Functions that read tables are not compiled, because the
    tables change with the calibration.
    """
    options: dict[str, Any] = {"mode": "reduce-overhead", "dynamic": False}
    for part in (network.encoder, network.decoder, network.depth_net, network.unet):
        if part is not None:
            part.compile(**options)
    network.unet.volume = torch.compile(network.unet.volume, **options)  # type: ignore[method-assign]
    network.unet.head.compile(**options)
    return network
