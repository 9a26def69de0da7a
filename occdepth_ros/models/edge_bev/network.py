"""Network of the bird's-eye-view architecture: image and evidence in, occupancy, classes and ground layout out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge_bev.completion import BevUNet
from occdepth_ros.models.edge_bev.config import (
    FINE,
    GROUND_CLASSES,
    LIFT,
    N_CLASSES,
    STANDING_CLASSES,
    BevConfig,
)
from occdepth_ros.models.edge_bev.evidence import CHANNELS, COLUMN_CHANNELS
from occdepth_ros.models.edge_bev.image_network import ImageNetwork

GROUND = len(STANDING_CLASSES)
"""Index of "any ground class" behind the standing classes in the logits of a lifted voxel."""
KINDS = GROUND + 1
N_GROUND = len(GROUND_CLASSES)
COLUMNS = LIFT**2
"""Columns of the prediction in one lifted column."""
OCCUPANCY_BIAS = -3.0
"""Initial occupancy logit: one voxel of twenty is occupied."""
LIMITS = ((0.35, 0.35),) * 3
"""Initial `EdgeBev.limits`."""
_LAYOUT_CHANNELS = 8
_NAMED_BY = {16: (15, 16), 15: (15, 16), 7: (7, 8), 8: (7, 8)}
"""Pixel classes that initially name a voxel class, where it is not the class alone."""


@dataclass(frozen=True)
class SceneInputs:
    """Inputs of one scene besides the image, as tensors; see `BevTables`, `voxel_evidence` and `column_evidence`.

    Args:
        rows: `[V]` int64.
        cell: `[V]` int64.
        evidence: `[V, CHANNELS]`.
        columns: `[X/2, Y/2, COLUMN_CHANNELS]`.
        ground_cell: `[X, Y]` int64, -1 where the image does not show the ground.
        ground_seen: `[X, Y]` bool.
    """

    rows: torch.Tensor
    cell: torch.Tensor
    evidence: torch.Tensor
    columns: torch.Tensor
    ground_cell: torch.Tensor
    ground_seen: torch.Tensor


@dataclass(frozen=True)
class BevOutput:
    """Logits of one scene; N lifted voxels in C order of (x, y, z).

    Args:
        occupancy: of the eight voxels of each lifted voxel, `[N, 8]`.
        completed: of the standing classes and of "ground", from the bird's-eye view, `[N, KINDS]`.
        direct: the same from evidence, and a gate behind them, of the V lifted voxels in view, `[V, KINDS + 1]`.
        named: the same from the class probabilities of the cells of the image, `[h w, KINDS]`.
        cell: flat cell that shows each lifted voxel in view, `[V]`.
        rows: flat indices of the lifted voxels in view, `[V]`.
        layout: of the ground classes by column, `[N / layers, 4, N_GROUND]`.
    """

    occupancy: torch.Tensor
    completed: torch.Tensor
    direct: torch.Tensor
    named: torch.Tensor
    cell: torch.Tensor
    rows: torch.Tensor
    layout: torch.Tensor

    def kinds(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits of the kinds of some lifted voxels, flat indices `[R]`, `[R, KINDS]` float32."""
        place = self.rows.new_full((len(self.completed),), -1)
        place[self.rows] = torch.arange(len(self.rows), device=rows.device)
        at = place[rows]
        shown = (at >= 0).nonzero()[:, 0]
        at = at[shown]
        direct = self.direct.index_select(0, at).float()
        named = direct[:, KINDS:].sigmoid() * self.named.float().index_select(0, self.cell[at])
        return self.completed.index_select(0, rows).float().index_add(0, shown, direct[:, :KINDS] + named)


class EdgeBev(nn.Module):
    """Image semantics lifted to voxels by evidence of matching, completed over the bird's-eye view.

    Visible voxels have a direct path from evidence to occupancy and from the class probabilities of their pixel to
    their class; ground voxels take their class from the layout of the columns, which has a direct path from the pixels
    that show the ground of a column.

    Limits and calibration of the occupancy are buffers, so that they are stored with the weights; `readout.decide`
    applies them.

    Args:
        config: sizes.
    """

    limits: torch.Tensor
    calibration: torch.Tensor

    def __init__(self, config: BevConfig) -> None:
        super().__init__()
        self.config = config
        self.image_network = ImageNetwork(N_CLASSES, config.pyramid, config.n_features)
        mapped = N_CLASSES + config.n_features
        self.evidence = nn.Linear(CHANNELS, config.hidden)
        self.appearance = nn.Linear(mapped, config.hidden, bias=False)
        self.column = nn.Linear(config.hidden, config.column)
        self.voxel = nn.Linear(config.hidden, FINE + KINDS + 1)
        nn.init.zeros_(self.voxel.weight)
        nn.init.zeros_(self.voxel.bias)
        self.pixel_kinds = _named(STANDING_CLASSES, ground=True)
        self.pixel_ground = _named(GROUND_CLASSES, ground=False)
        self.ground_appearance = nn.Linear(mapped, _LAYOUT_CHANNELS)
        channels = config.layers * config.column + COLUMNS * (_LAYOUT_CHANNELS + 2) + COLUMN_CHANNELS
        self.unet = BevUNet(channels, config.stages, config.depths)
        width = config.stages[0]
        self.occupancy = nn.Conv2d(width, config.layers * FINE, 1)
        nn.init.constant_(self.occupancy.bias, OCCUPANCY_BIAS)  # type: ignore[arg-type]
        self.kinds = nn.Conv2d(width, config.layers * KINDS, 1)
        self.layout = nn.Conv2d(width, COLUMNS * (N_GROUND + 1), 1)
        self.register_buffer("limits", torch.tensor(LIMITS))
        self.register_buffer("calibration", torch.tensor(((1.0, 0.0),) * 3))

    def forward(self, images: torch.Tensor, scenes: list[SceneInputs]) -> list[BevOutput]:
        """Predict scenes from their left images, `[B, 3, H, W]`, see `normalized`."""
        logits, features = self.image_network(images)
        return self.complete(logits, features, scenes)

    def complete(self, logits: torch.Tensor, features: torch.Tensor, scenes: list[SceneInputs]) -> list[BevOutput]:
        """The same from the outputs of the image network.

        Args:
            logits: `[B, N_CLASSES, h, w]`.
            features: `[B, n_features, h, w]`.
            scenes: one for each image.
        """
        maps = [self._map(logits[i], features[i]) for i in range(len(scenes))]
        lifted = [self.lift(scene, *both) for scene, both in zip(scenes, maps, strict=True)]
        x = torch.stack([columns for columns, _, _ in lifted]).movedim(3, 1)  # channels are innermost in memory
        x = self.unet(x)
        heads = [head(x).movedim(1, 3) for head in (self.occupancy, self.kinds, self.layout)]
        return [
            self._output(scene, maps[i][0], lifted[i][1:], [head[i] for head in heads])
            for i, scene in enumerate(scenes)
        ]

    def _map(self, logits: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log probabilities `[h w, N_CLASSES]`, and probabilities with features, `[h w, N_CLASSES + n_features]`."""
        log = logits.float().log_softmax(0).flatten(1).T
        return log, torch.cat([log.exp(), features.float().flatten(1).T], 1)

    def lift(
        self, scene: SceneInputs, log: torch.Tensor, mapped: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Lift one scene.

        Returns:
            input of the bird's-eye view `[X/2, Y/2, C]`; direct logits of the voxels in view, and the gate of the
            classes of their pixel, `[V, FINE + KINDS + 1]`; direct logits of the ground classes, `[X, Y, N_GROUND]`.
        """
        x, y, _ = scene.columns.shape
        hidden = F.relu(self.evidence(scene.evidence) + self.appearance(mapped).index_select(0, scene.cell))
        volume = hidden.new_zeros(x * y * self.config.layers, self.config.column)
        volume = volume.index_copy(0, scene.rows, F.relu(self.column(hidden)))
        direct = self.voxel(hidden)
        matched = scene.evidence[:, 2 * FINE : 2 * FINE + 1].to(direct.dtype)
        direct = torch.cat([direct[:, :-1], direct[:, -1:] + 2 * matched - 1], 1)
        shown = scene.ground_cell >= 0
        cell = scene.ground_cell.clamp_min(0).flatten()
        flags = torch.stack([shown, scene.ground_seen], 2).to(hidden.dtype)
        seen = shown[..., None].to(hidden.dtype)
        ground = self.ground_appearance(mapped).index_select(0, cell).view(*shown.shape, -1) * seen
        ground = torch.cat([ground, flags], 2).view(x, LIFT, y, LIFT, -1).transpose(1, 2).reshape(x, y, -1)
        layout = self.pixel_ground(log).index_select(0, cell).view(*shown.shape, N_GROUND) * seen
        columns = torch.cat([volume.view(x, y, -1), ground, scene.columns.to(hidden.dtype)], 2)
        return columns, direct, layout

    def _output(
        self, scene: SceneInputs, log: torch.Tensor, lifted: tuple[torch.Tensor, ...], heads: list[torch.Tensor]
    ) -> BevOutput:
        direct, layout = lifted
        x, y, _ = scene.columns.shape
        occupancy, kinds = heads[0].float().reshape(-1, FINE), heads[1].reshape(-1, KINDS)
        occupancy = occupancy.index_add(0, scene.rows, direct[:, :FINE].float())
        ground = heads[2].float().reshape(x * y, COLUMNS, N_GROUND + 1)
        layout = layout.view(x, LIFT, y, LIFT, N_GROUND).transpose(1, 2).reshape(x * y, COLUMNS, N_GROUND)
        ground = ground[..., :-1] + ground[..., -1:].sigmoid() * layout.float()
        return BevOutput(occupancy, kinds, direct[:, FINE:], self.pixel_kinds(log), scene.cell, scene.rows, ground)


def _named(classes: tuple[int, ...], *, ground: bool) -> nn.Linear:
    """Linear map from log probabilities of a pixel's classes to logits of voxel classes, initially of the same name."""
    linear = nn.Linear(N_CLASSES, len(classes) + ground)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.zero_()
        for row, class_id in enumerate(classes):
            for pixel in _NAMED_BY.get(class_id, (class_id,)):
                linear.weight[row, pixel] = 1 / len(_NAMED_BY.get(class_id, (class_id,)))
        if ground:
            # the most likely ground class decides: log probabilities of the others are far below
            for pixel, share in zip(GROUND_CLASSES, (0.35, 0.05, 0.25, 0.05, 0.3), strict=True):
                linear.weight[-1, pixel] = share
    return linear
