"""What the query proposal network learns from a scene: measured voxels in, occupied voxels of twice the edge out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from occdepth_ros.classes import ClassTable
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.errors import RecipeError
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.monoocc.proposals.stereo import StereoProposals
from occdepth_ros.models.qpn.config import QpnConfig
from occdepth_ros.models.qpn.network import QueryProposalNetwork
from occdepth_ros.training.augmentation import Augmentation, jitter, mirrored, shifted
from occdepth_ros.training.losses.proposals import ALPHA, proposal_loss
from occdepth_ros.training.task import Batch, Prepared

OCCUPANCY = ClassTable(
    names=("empty", "occupied"),
    rgb=((0, 0, 0), (200, 200, 200)),
    raw_to_class={0: 0, 1: 1},
    class_to_raw={0: 0, 1: 1},
    ground=frozenset(),
)
"""What the network tells apart; its mIoU is the IoU of occupied voxels."""


@dataclass(frozen=True)
class QpnOptions:
    """The section `task` of a recipe of this family.

    Args:
        network: what differs from the published size, by field of `QpnConfig`.
        augmentation: of training scenes, before they are matched.
        shift: in training the grid is moved by up to so many voxels along x and y, and by up to two along z.
        alpha: weight of occupied voxels in the loss; free ones have the rest to 1.
        min_points: points that make a voxel measured.
        window: edge of a random square of columns that training is confined to, voxels, a multiple of 8; None = all.
            The network is convolutional over columns: a quarter of the scene costs a quarter of a step.

    Raises:
        RecipeError: a field is wrong.
    """

    network: QpnConfig = field(default_factory=QpnConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    shift: int = 0
    alpha: float = ALPHA
    min_points: int = 1
    window: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise RecipeError(f"{self.alpha} is not between 0 and 1", where="task.alpha")
        for name, least in (("shift", 0), ("min_points", 1)):
            if getattr(self, name) < least:
                raise RecipeError(f"{getattr(self, name)} is less than {least}", where=f"task.{name}")
        if self.window is not None and (self.window < 8 or self.window % 8):
            raise RecipeError(f"{self.window} is no positive multiple of 8", where="task.window")

    @property
    def model(self) -> str:
        """Name of the model that the weights are for."""
        return self.network.name

    def build(self) -> QpnTask:
        """Make the task, its network with fresh weights."""
        return QpnTask(self)


class QpnTask:
    """The network on voxels that semi-global matching measures in one pair.

    Args:
        options: network, loss and augmentation.
    """

    classes = OCCUPANCY

    def __init__(self, options: QpnOptions | None = None) -> None:
        self.options = options or QpnOptions()
        self.network: nn.Module = QueryProposalNetwork(self.options.network)

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair and make the targets of one scene.

        Returns:
            `measured` `[X, Y, Z]` uint8, 1 where a surface was measured; `target` `[X/2, Y/2, Z/2]` uint8, 0 free, 1
            occupied, 255 unknown; in training `target_s` for the coarser heads' scales s, and everything of the window
            alone.

        Raises:
            GridError: the ground truth is not on voxels of the network's size.
            CalibrationError: the images are too small to be matched.
        """
        options = self.options
        if rng is not None:
            example = self._augmented(example, rng)
        options.network.check_grid(example.grid)
        measured = StereoProposals(min_points=options.min_points).measure(
            example.left, example.right, example.rig, example.grid
        )
        target = example.target
        if rng is not None and options.window is not None:
            columns = ColumnWindow.draw(options.window, example.grid.size[:2], rng).slices(1)
            measured, target = measured[columns], target[columns]
        prepared: Prepared = {"measured": torch.from_numpy(measured.astype(np.uint8))}
        for scale in options.network.heads if rng is not None else (2,):
            labels = downsample_labels(target, scale)
            labels[(labels > 0) & (labels < 255)] = 1
            prepared[_target(scale)] = torch.from_numpy(labels)
        return prepared

    def _augmented(self, example: SceneExample, rng: np.random.Generator) -> SceneExample:
        options = self.options
        if rng.random() < options.augmentation.mirror:
            example = mirrored(example)
        if options.shift:
            reach = (options.shift, options.shift, min(options.shift, 2))
            example = shifted(example, [int(rng.integers(-n, n + 1)) for n in reach])
        images = torch.from_numpy(np.stack([example.left, example.right])).movedim(-1, 1)
        left, right = jitter(images, options.augmentation, rng).movedim(1, -1).contiguous().numpy()
        return replace(example, left=left, right=right)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Cross entropies by scale, see `proposal_loss`."""
        scales = tuple(s for s in self.options.network.heads if _target(s) in batch)
        logits = self.network(batch["measured"].float(), scales)
        terms = proposal_loss(logits, {s: batch[_target(s)] for s in scales}, self.options.alpha)
        return {f"cross_entropy_{scale}": term for scale, term in terms.items()}

    def predict(self, batch: Batch) -> torch.Tensor:
        """1 where a proposal is, else 0, `[B, X/2, Y/2, Z/2]` uint8."""
        network = self.network
        assert isinstance(network, QueryProposalNetwork)
        return network.proposals(batch["measured"].float()).to(torch.uint8)


def _target(scale: int) -> str:
    """Key of the labels at a scale."""
    return "target" if scale == 2 else f"target_{scale}"
