"""Network of the bird's-eye-view architecture: maps image and evidence to occupancy, classes and ground layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge_bev.completion import BevUNet
from occdepth_ros.models.edge_bev.config import (
    FINE,
    GROUND_CLASSES,
    KINDS,
    LIFT,
    N_CLASSES,
    N_GROUND,
    STANDING_CLASSES,
    ZONES,
    BevConfig,
    LiftedState,
)
from occdepth_ros.models.edge_bev.evidence import CHANNELS, COLUMN_CHANNELS
from occdepth_ros.models.edge_bev.ground_profile import COLUMNS, GroundProfile
from occdepth_ros.models.edge_bev.image_network import ImageNetwork
from occdepth_ros.models.edge_bev.memory import CHANNELS as MEMORY_CHANNELS
from occdepth_ros.models.edge_bev.memory import COLUMN_CHANNELS as MEMORY_COLUMN_CHANNELS
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.scene_inputs import SceneInputs
from occdepth_ros.models.edge_bev.surface import SurfaceBlock, close_to_surface, neighbours_of

OCCUPANCY_BIAS = -3.0
"""Initial occupancy logit: one voxel of twenty is occupied."""
LIMITS = ((0.35, 0.35),) * ZONES
"""Initial `EdgeBev.limits`."""
_LAYOUT_CHANNELS = 8
_NAMED_BY = {16: (15, 16), 15: (15, 16), 7: (7, 8), 8: (7, 8)}
"""Pixel classes that initially predict a voxel class, for voxel classes with several pixel classes."""


@dataclass(frozen=True)
class Lifted:
    """One scene after lifting.

    Args:
        columns: input of the bird's-eye view, `[X/2, Y/2, C]`.
        direct: logits of the lifted voxels with evidence, and the gate of the classes of their pixel,
            `[R, FINE + KINDS + 1]`.
        layout: logits of the ground classes by column, from its pixel, `[X/2 Y/2, 4, N_GROUND]`.
        remembered: logits of the remembered lifted voxels, `[K, FINE + KINDS]`.
        remembered_layout: logits of the ground classes by lifted column, `[X/2 Y/2, N_GROUND]`.
        hidden: hidden layer of the rows close to a surface, `[S, H]`.
        near: indices of these rows, `[S]`.
        neighbours: neighbours of these rows among themselves, see `neighbours_of`.
    """

    columns: torch.Tensor
    direct: torch.Tensor
    layout: torch.Tensor
    remembered: torch.Tensor
    remembered_layout: torch.Tensor
    hidden: torch.Tensor
    near: torch.Tensor
    neighbours: torch.Tensor


class EdgeBev(nn.Module):
    """Image semantics, lifted to voxels by evidence from stereo matching and completed in the bird's-eye view.

    Visible voxels have a direct path from evidence to occupancy and from the class probabilities of their pixel to
    their class; ground voxels take their class from the layout of the columns, which has a direct path from the pixels
    of the ground of a column.

    Only lifted voxels near a surface, or without a match, have individual evidence; all others share learned rows by
    `LiftedState`. Voxels out of view and far behind surfaces also use the memory of earlier pairs.

    Limits and calibration of the occupancy are buffers, so that they are stored with the weights; `readout.decide`
    applies them. `BevConfig.inverse_depth_error` is a buffer, too.

    Args:
        config: configuration of the network.
    """

    OPTIONAL = ("ground_profile.", "inverse_depth_error")
    """Prefixes of tensors that older weights files lack, see `load_strict`."""
    limits: torch.Tensor
    calibration: torch.Tensor
    inverse_depth_error: torch.Tensor

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
        width = config.surface
        self.surface_in = nn.Linear(config.hidden, width)
        self.surface = SurfaceBlock(width)
        self.surface_out = nn.Linear(width, config.hidden)
        self.refine_in = nn.Linear(config.hidden, width)
        self.refine = SurfaceBlock(width)
        self.refined = nn.Linear(width, FINE + KINDS)
        nn.init.zeros_(self.refined.weight)
        nn.init.zeros_(self.refined.bias)
        self.state_columns = nn.Parameter(torch.randn(LiftedState.COUNT, config.column) * 0.1)
        self.state_occupancy = nn.Parameter(torch.zeros(LiftedState.COUNT, FINE))
        self.memory = nn.Linear(MEMORY_CHANNELS, config.hidden)
        self.memory_column = nn.Linear(config.hidden, config.column)
        self.memory_voxel = nn.Linear(config.hidden + MEMORY_CHANNELS, FINE + KINDS)
        nn.init.zeros_(self.memory_voxel.weight)
        nn.init.zeros_(self.memory_voxel.bias)
        self.memory_layout = nn.Linear(MEMORY_COLUMN_CHANNELS, N_GROUND, bias=False)
        nn.init.zeros_(self.memory_layout.weight)
        self.pixel_kinds = _named(STANDING_CLASSES, ground=True)
        self.pixel_ground = _named(GROUND_CLASSES, ground=False)
        self.ground_appearance = nn.Linear(mapped, _LAYOUT_CHANNELS)
        channels = config.layers * config.column + COLUMNS * (_LAYOUT_CHANNELS + 2)
        channels += COLUMN_CHANNELS + MEMORY_COLUMN_CHANNELS
        self.unet = BevUNet(channels, config.stages, config.depths)
        width = config.stages[0]
        self.context = nn.Conv2d(width, config.layers * config.surface, 1)
        self.occupancy = nn.Conv2d(width, config.layers * FINE, 1)
        nn.init.constant_(self.occupancy.bias, OCCUPANCY_BIAS)  # type: ignore[arg-type]
        self.ground_profile = GroundProfile(width, config.layers)
        self.kinds = nn.Conv2d(width, config.layers * KINDS, 1)
        self.layout = nn.Conv2d(width, COLUMNS * (N_GROUND + 1), 1)
        self.register_buffer("limits", torch.tensor(LIMITS))
        self.register_buffer("calibration", torch.tensor(((1.0, 0.0),) * ZONES))
        self.register_buffer("inverse_depth_error", torch.tensor(config.inverse_depth_error))

    def forward(self, images: torch.Tensor, scenes: list[SceneInputs]) -> list[BevOutput]:
        """Predict scenes from their left images, `[B, 3, H, W]`, see `normalized`."""
        logits, features = self.image_network(images)
        return self.complete(logits, features, scenes)

    def begin(self, logits: torch.Tensor, features: torch.Tensor) -> Callable[[SceneInputs], BevOutput]:
        """Return a function that completes the scene of one image; work that needs only the image may be done before.

        Args:
            logits, features: as in `complete`, for one image, `[1, C, h, w]`.
        """
        return lambda scene: self.complete(logits, features, [scene])[0]

    def complete(self, logits: torch.Tensor, features: torch.Tensor, scenes: list[SceneInputs]) -> list[BevOutput]:
        """Predict scenes from the outputs of the image network.

        Args:
            logits: `[B, N_CLASSES, h, w]`.
            features: `[B, n_features, h, w]`.
            scenes: inputs of each image.
        """
        maps = [self.maps(logits[i], features[i]) for i in range(len(scenes))]
        lifted = [self.lift(scene, *both) for scene, both in zip(scenes, maps, strict=True)]
        x = torch.stack([each.columns for each in lifted]).movedim(3, 1)  # channels are innermost in memory
        x = self.unet(x)
        convolutions = (self.occupancy, self.kinds, self.layout, self.context, self.ground_profile.profile)
        heads = [head(x).movedim(1, 3) for head in convolutions]
        return [
            self._output(scene, maps[i][0], lifted[i], [head[i] for head in heads]) for i, scene in enumerate(scenes)
        ]

    def maps(self, logits: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log probabilities `[h w, N_CLASSES]`, and probabilities with features, `[h w, N_CLASSES +
        n_features]`."""
        log = logits.float().log_softmax(0).flatten(1).T
        return log, torch.cat([log.exp(), features.float().flatten(1).T], 1)

    def lift(self, scene: SceneInputs, log: torch.Tensor, mapped: torch.Tensor) -> Lifted:
        """Lift image and evidence of one scene to voxels and columns; `log` and `mapped` as from `maps`, `[h w, C]`."""
        x, y, _ = scene.columns.shape
        near = close_to_surface(scene.evidence)
        hidden = F.relu(self.evidence(scene.evidence) + self.appearance(mapped).index_select(0, scene.cell))
        column, direct, close = self.column(hidden), self.voxel(hidden), hidden.index_select(0, near)
        neighbours = neighbours_of(scene.rows.index_select(0, near), (x, y, self.config.layers))
        surface = self.surface(F.relu(self.surface_in(close)), neighbours)
        beside = self.surface_out(surface)
        # the input of the layers of the rows is hidden + beside; adding their products moves fewer bytes
        column.index_add_(0, near, F.linear(beside, self.column.weight))
        memory = scene.memory
        remembered = F.relu(self.memory(memory.features))
        dtype = column.dtype
        volume = self.state_columns.to(dtype).index_select(0, scene.state.int())
        volume.index_copy_(0, scene.rows, F.relu(column))
        volume.index_add_(0, memory.rows, self.memory_column(remembered).to(dtype))
        direct.index_add_(0, near, F.linear(beside, self.voxel.weight))
        direct[:, -1].add_(2 * scene.evidence[:, 2 * FINE].to(dtype) - 1)
        shown = scene.ground_cell >= 0
        cell = scene.ground_cell.clamp_min(0).flatten()
        flags = torch.stack([shown, scene.ground_seen], 2).to(dtype)
        seen = shown[..., None].to(dtype)
        ground = self.ground_appearance(mapped).index_select(0, cell).view(*shown.shape, -1) * seen
        ground = torch.cat([ground, flags], 2).view(x, LIFT, y, LIFT, -1).transpose(1, 2).reshape(x, y, -1)
        layout = self.pixel_ground(log).index_select(0, cell).view(*shown.shape, N_GROUND) * seen
        layout = layout.view(x, LIFT, y, LIFT, N_GROUND).transpose(1, 2).reshape(x * y, COLUMNS, N_GROUND)
        columns = [volume.view(x, y, -1), ground, scene.columns, memory.columns]
        return Lifted(
            torch.cat([part.to(dtype) for part in columns], 2),
            direct,
            layout,
            self.memory_voxel(torch.cat([remembered, memory.features.to(remembered.dtype)], 1)),
            self.memory_layout(memory.columns.view(x * y, -1)),
            close + beside,
            near,
            neighbours,
        )

    def _output(self, scene: SceneInputs, log: torch.Tensor, lifted: Lifted, heads: list[torch.Tensor]) -> BevOutput:
        x, y, _ = scene.columns.shape
        memory = scene.memory
        occupancy, kinds = heads[0].float().reshape(-1, FINE), heads[1].reshape(-1, KINDS)
        occupancy = occupancy.add_(self.state_occupancy.float().index_select(0, scene.state.int()))
        occupancy.add_(self.ground_profile(heads[4], scene.ground_height))
        context = heads[3].reshape(-1, self.config.surface).index_select(0, scene.rows.index_select(0, lifted.near))
        refined = self.refine(F.relu(self.refine_in(lifted.hidden) + context), lifted.neighbours)
        direct = lifted.direct.index_add_(0, lifted.near, F.pad(self.refined(refined), (0, 1)))
        occupancy.index_add_(0, scene.rows, direct[:, :FINE].float())
        occupancy.index_add_(0, memory.rows, lifted.remembered[:, :FINE].float())
        ground = heads[2].float().reshape(x * y, COLUMNS, N_GROUND + 1)
        ground = ground[..., :-1] + ground[..., -1:].sigmoid() * lifted.layout.float()
        ground = ground + lifted.remembered_layout.float()[:, None]
        return BevOutput(
            occupancy,
            kinds,
            direct[:, FINE:],
            self.pixel_kinds(log),
            scene.cell,
            scene.rows,
            lifted.remembered[:, FINE:],
            memory.rows,
            ground,
        )


def _named(classes: tuple[int, ...], *, ground: bool) -> nn.Linear:
    """Return a linear map from log probabilities of pixel classes to logits of voxel classes, initially of equal
    classes."""
    linear = nn.Linear(N_CLASSES, len(classes) + ground)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.zero_()
        for row, class_id in enumerate(classes):
            for pixel in _NAMED_BY.get(class_id, (class_id,)):
                linear.weight[row, pixel] = 1 / len(_NAMED_BY.get(class_id, (class_id,)))
        if ground:
            # the most likely ground class dominates, because log probabilities of the others are much lower
            for pixel, share in zip(GROUND_CLASSES, (0.35, 0.05, 0.25, 0.05, 0.3), strict=True):
                linear.weight[-1, pixel] = share
    return linear
