"""The bird's-eye-view architecture as a module for the exporter, with inputs and outputs of fixed shapes.

The network itself computes rows only for the lifted voxels with evidence, whose number varies. The graph computes them
for all lifted voxels and masks the others; sparse convolutions become dense ones of masked volumes, with equal results.
Projection tables are inputs, so that one file serves every calibration. There is no memory of earlier pairs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge_bev.config import FINE, KINDS, LIFT, N_GROUND
from occdepth_ros.models.edge_bev.evidence import CHANNELS, COLUMN_CHANNELS
from occdepth_ros.models.edge_bev.ground_profile import COLUMNS, LOWEST, NODES, SPACING
from occdepth_ros.models.edge_bev.image_network import normalized
from occdepth_ros.models.edge_bev.memory import COLUMN_CHANNELS as MEMORY_COLUMN_CHANNELS
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.scene_inputs import SceneInputs
from occdepth_ros.models.edge_bev.surface import SurfaceBlock, SurfaceConv, close_to_surface

Arrays = dict[str, npt.NDArray[np.generic]]
Shapes = dict[str, tuple[str, tuple[int, ...]]]


def input_shapes(image: tuple[int, int], size: tuple[int, int, int]) -> Shapes:
    """Return type and shape of each input of the graph.

    Args:
        image: height and width of the network's image, pixels.
        size: voxels of the grid along x, y, z.
    """
    x, y, z = (n // LIFT for n in size)
    return {
        "image": ("uint8", (*image, 3)),
        "state": ("int32", (x * y * z,)),
        "cell": ("int32", (x * y * z,)),
        "near": ("float32", (x * y * z,)),
        "evidence": ("float32", (x * y * z, CHANNELS)),
        "columns": ("float32", (x, y, COLUMN_CHANNELS)),
        "ground_cell": ("int32", size[:2]),
        "ground_seen": ("float32", size[:2]),
        "ground_height": ("float32", size[:2]),
    }


def output_shapes(size: tuple[int, int, int]) -> Shapes:
    """Return type and shape of each output of the graph: the logits of `BevOutput`; `kinds` contains all terms."""
    x, y, z = (n // LIFT for n in size)
    return {
        "occupancy": ("float32", (x * y * z, FINE)),
        "kinds": ("float32", (x * y * z, KINDS)),
        "layout": ("float32", (x * y, COLUMNS, N_GROUND)),
    }


def dense_inputs(scene: SceneInputs) -> Arrays:
    """Return the inputs of the graph except the image, from those of the network on the CPU; without its memory."""
    count = len(scene.state)
    rows = scene.rows.numpy()
    cell = np.full(count, -1, np.int32)
    cell[rows] = scene.cell.numpy()
    evidence = np.zeros((count, CHANNELS), np.float32)
    evidence[rows] = scene.evidence.float().numpy()
    near = np.zeros(count, np.float32)
    near[rows[close_to_surface(scene.evidence).numpy()]] = 1
    return {
        "state": scene.state.numpy().astype(np.int32),
        "cell": cell,
        "near": near,
        "evidence": evidence,
        "columns": scene.columns.float().numpy(),
        "ground_cell": scene.ground_cell.numpy().astype(np.int32),
        "ground_seen": scene.ground_seen.numpy().astype(np.float32),
        "ground_height": scene.ground_height.float().numpy(),
    }


def output_of(arrays: Arrays) -> BevOutput:
    """Return the outputs of the graph as those of the network; no voxel has further terms of its class."""
    values = {name: torch.from_numpy(array) for name, array in arrays.items()}
    none = torch.zeros(0, dtype=torch.long)
    empty = torch.zeros(0, KINDS)
    direct = torch.zeros(0, KINDS + 1)
    return BevOutput(values["occupancy"], values["kinds"], direct, empty, none, none, empty, none, values["layout"])


class ExportableEdgeBev(nn.Module):
    """Maps one image and dense evidence to logits, see `input_shapes` and `output_shapes`.

    Args:
        network: the network with its weights, in evaluation mode, in float32 on the CPU.
        size: voxels of the grid along x, y, z.
    """

    def __init__(self, network: EdgeBev, size: tuple[int, int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = (size[0] // LIFT, size[1] // LIFT, size[2] // LIFT)

    def forward(
        self,
        image: torch.Tensor,
        state: torch.Tensor,
        cell: torch.Tensor,
        near: torch.Tensor,
        evidence: torch.Tensor,
        columns: torch.Tensor,
        ground_cell: torch.Tensor,
        ground_seen: torch.Tensor,
        ground_height: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Predict; see `EdgeBev.lift` and `EdgeBev.complete` for the terms."""
        network, (x, y, _) = self.network, self.size
        logits, features = network.image_network(normalized(image[None]))
        log, mapped = network.maps(logits[0], features[0])
        has_evidence, close = (cell >= 0)[:, None].float(), near[:, None]
        index = cell.clamp_min(0)
        hidden = F.relu(network.evidence(evidence) + network.appearance(mapped).index_select(0, index))
        surface = self._block(network.surface, F.relu(network.surface_in(hidden)) * close, close)
        hidden = hidden + network.surface_out(surface) * close
        state_columns = network.state_columns.index_select(0, state)
        volume = torch.where(cell[:, None] >= 0, F.relu(network.column(hidden)), state_columns)
        gate = F.pad(2 * evidence[:, 2 * FINE : 2 * FINE + 1] - 1, (FINE + KINDS, 0))
        direct = network.voxel(hidden) + gate
        shown = (ground_cell >= 0).float()
        ground_index = ground_cell.clamp_min(0).flatten()
        appearance = (
            network.ground_appearance(mapped).index_select(0, ground_index).view(*ground_cell.shape, -1)
            * shown[..., None]
        )
        ground = self._by_column(torch.cat([appearance, torch.stack([shown, ground_seen], 2)], 2)).flatten(2)
        layout = network.pixel_ground(log).index_select(0, ground_index).view(*ground_cell.shape, -1) * shown[..., None]
        memory = columns.new_zeros(x, y, MEMORY_COLUMN_CHANNELS)
        view = torch.cat([volume.view(x, y, -1), ground, columns, memory], 2).movedim(2, 0)[None]
        view = network.unet(view)
        convolutions = (
            network.occupancy,
            network.kinds,
            network.layout,
            network.context,
            network.ground_profile.profile,
        )
        occupancy, kinds, of_ground, context, profile = (head(view)[0].movedim(0, 2) for head in convolutions)
        refinement = F.relu(network.refine_in(hidden) + context.reshape(-1, network.config.surface)) * close
        refined = network.refined(self._block(network.refine, refinement, close)) * close
        direct = (direct + F.pad(refined, (0, 1))) * has_evidence
        occupancy = occupancy.reshape(-1, FINE) + network.state_occupancy.index_select(0, state) + direct[:, :FINE]
        occupancy = occupancy + self._profile(profile, ground_height)
        named = network.pixel_kinds(log).index_select(0, index) * direct[:, -1:].sigmoid() * has_evidence
        kinds = kinds.reshape(-1, KINDS) + direct[:, FINE : FINE + KINDS] + named
        of_ground = of_ground.reshape(x * y, COLUMNS, N_GROUND + 1)
        by_column = self._by_column(layout).reshape(x * y, COLUMNS, N_GROUND)
        return occupancy, kinds, of_ground[..., :-1] + of_ground[..., -1:].sigmoid() * by_column

    def _by_column(self, values: torch.Tensor) -> torch.Tensor:
        """Map `[X, Y, C]` to the four columns of each lifted column, `[X/2, Y/2, 4, C]`."""
        x, y, _ = self.size
        return values.view(x, LIFT, y, LIFT, -1).transpose(1, 2).reshape(x, y, COLUMNS, -1)

    def _block(self, block: SurfaceBlock, rows: torch.Tensor, close: torch.Tensor) -> torch.Tensor:
        """Apply a sparse block to all lifted voxels `[N, C]`; rows not close to a surface are zero before and after."""
        first = F.relu(self._convolved(block.first, rows)) * close
        return F.relu(rows + self._convolved(block.second, first)) * close

    def _convolved(self, layer: SurfaceConv, rows: torch.Tensor) -> torch.Tensor:
        """Apply a sparse convolution as a dense one, `[N, C]`."""
        channels = rows.shape[1]
        kernel = layer.linear.weight.view(-1, 3, 3, 3, channels).permute(0, 4, 1, 2, 3)
        volume = rows.T.view(1, channels, *self.size)
        return F.conv3d(volume, kernel, layer.linear.bias, padding=1)[0].flatten(1).T

    def _profile(self, profile: torch.Tensor, height: torch.Tensor) -> torch.Tensor:
        """See `GroundProfile.forward`; interpolates in all layers."""
        x, y, z = self.size
        nodes = F.pad(profile.reshape(-1, NODES), (1, 2))
        height = self._by_column(height[..., None]).reshape(-1, 1)
        layer = torch.arange(z * LIFT, dtype=torch.float32)
        at = ((layer + 0.5 - height - LOWEST) / SPACING + 1).clamp(0, NODES + 1)
        lower = at.floor()
        index = lower.long()
        logits = nodes.gather(1, index) * (1 - at + lower) + nodes.gather(1, index + 1) * (at - lower)
        return logits.view(x * y, COLUMNS, z, LIFT).transpose(1, 2).reshape(-1, FINE)
