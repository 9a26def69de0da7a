"""Training task of the query proposal network: input stereo voxels, target occupied voxels of twice the edge."""

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
"""Classes of the network; the mIoU is the IoU of occupied voxels."""


@dataclass(frozen=True)
class QpnOptions:
    """The section `task` of a recipe of this family.

    Args:
        network: overrides of the published size, by field of `QpnConfig`.
        augmentation: augmentation of training scenes before matching.
        shift: largest random shift of the grid along x and y in training, voxels; along z it is 2 at most.
        alpha: weight of occupied voxels in the loss; free voxels have 1 - alpha.
        min_points: number of points from which on a voxel counts as occupied in the input.
        window: edge of a random square of columns to which training is limited, voxels, a multiple of 8; None = no
            limit. The network is convolutional over columns: a quarter of the scene takes a quarter of the time.

    Raises:
        RecipeError: a field is invalid.
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
            raise RecipeError(f"{self.window} is not a positive multiple of 8", where="task.window")

    @property
    def model(self) -> str:
        """Name of the model that loads the trained weights."""
        return self.network.name

    def build(self) -> QpnTask:
        """Create the task with a newly initialized network."""
        return QpnTask(self)


class QpnTask:
    """Trains the network on the occupied voxels of semi-global matching of one pair.

    Args:
        options: network, loss and augmentation.
    """

    classes = OCCUPANCY

    def __init__(self, options: QpnOptions | None = None) -> None:
        self.options = options or QpnOptions()
        self.network: nn.Module = QueryProposalNetwork(self.options.network)

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair and create the targets of one scene.

        Returns:
            `occupancy` `[X, Y, Z]` uint8, 1 for voxels with stereo points; `target` `[X/2, Y/2, Z/2]` uint8, 0 free, 1
            occupied, 255 unknown; in training `target_s` for each coarser scale s, with all tensors cropped to the
            window.

        Raises:
            GridError: the voxel size of the ground truth differs from the network's.
            CalibrationError: the images are too small to be matched.
        """
        options = self.options
        if rng is not None:
            example = self._augmented(example, rng)
        options.network.check_grid(example.grid)
        occupancy = StereoProposals(min_points=options.min_points).measure(
            example.left, example.right, example.rig, example.grid
        )
        target = example.target
        if rng is not None and options.window is not None:
            columns = ColumnWindow.draw(options.window, example.grid.size[:2], rng).slices(1)
            occupancy, target = occupancy[columns], target[columns]
        prepared: Prepared = {"occupancy": torch.from_numpy(occupancy.astype(np.uint8))}
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
        """Return the cross entropies by scale, see `proposal_loss`."""
        scales = tuple(s for s in self.options.network.heads if _target(s) in batch)
        logits = self.network(batch["occupancy"].float(), scales)
        terms = proposal_loss(logits, {s: batch[_target(s)] for s in scales}, self.options.alpha)
        return {f"cross_entropy_{scale}": term for scale, term in terms.items()}

    def predict(self, batch: Batch) -> torch.Tensor:
        """Return 1 for proposals, else 0, `[B, X/2, Y/2, Z/2]` uint8."""
        network = self.network
        assert isinstance(network, QueryProposalNetwork)
        return network.proposals(batch["occupancy"].float()).to(torch.uint8)


def _target(scale: int) -> str:
    """Return the key of the labels at a scale."""
    return "target" if scale == 2 else f"target_{scale}"
