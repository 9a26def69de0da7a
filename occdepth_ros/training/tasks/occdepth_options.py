"""The section `task` of a recipe of the OccDepth and MonoScene family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from occdepth_ros.errors import RecipeError
from occdepth_ros.models.layers.imagenet import load_lite0
from occdepth_ros.models.occdepth.config import PRESETS, OccDepthConfig
from occdepth_ros.models.occdepth.unet3d import STAGE_NAMES
from occdepth_ros.training.augmentation import Augmentation
from occdepth_ros.training.losses.class_weights import initialize_with_frequencies
from occdepth_ros.training.tasks.occdepth import LossWeights, OccDepthTask
from occdepth_ros.training.typed import updated


@dataclass(frozen=True)
class OccDepthOptions:
    """The section `task` of a recipe of this family.

    Args:
        preset: name of a configuration.
        network: overrides of the preset, by field of `OccDepthConfig`.
        losses: weights of the loss terms.
        augmentation: augmentation of training scenes.
        align: see `OccDepthTask`.
        second_view_gradient: see `OccDepthTask`.
        window: see `OccDepthTask`.
        imagenet: initialize the 2-D encoder with ImageNet weights; only for lite0, whose weights a package provides
            (for other encoders use `occdepth train --backbone`).
        freeze_encoder: see `OccDepthTask`.
        frequencies: initialize the heads with the class frequencies (see `initialize_with_frequencies`).

    Raises:
        RecipeError: the preset does not exist, or a field is invalid.
    """

    preset: str = "occdepth-b3"
    network: Mapping[str, Any] = field(default_factory=dict)
    losses: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    align: Literal["place", "index"] = "place"
    second_view_gradient: bool = True
    window: int | None = None
    imagenet: bool = False
    freeze_encoder: bool = False
    frequencies: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise RecipeError(
                f"there is no network {self.preset!r}", where="task.preset", remedy=f"Known: {', '.join(PRESETS)}."
            )
        if self.config.backbone != "lite0" and self.imagenet:
            raise RecipeError(
                f"no package provides ImageNet weights of {self.config.backbone}",
                where="task.imagenet",
                remedy="Give a file of them with --backbone.",
            )

    @cached_property
    def config(self) -> OccDepthConfig:
        """The configuration of the network."""
        return updated(PRESETS[self.preset], self.network, "task.network")

    @property
    def model(self) -> str:
        """The preset's name."""
        return self.preset

    def build(self) -> OccDepthTask:
        """Create the task with a newly initialized network."""
        task = OccDepthTask(
            self.config,
            weights=self.losses,
            augmentation=self.augmentation,
            align=self.align,
            second_view_gradient=self.second_view_gradient,
            window=self.window,
            freeze_encoder=self.freeze_encoder,
        )
        if self.imagenet:
            load_lite0(task.network.get_submodule("net_rgb.encoder.original_model"))
        if self.frequencies:
            head: Any = task.network.get_submodule(f"net_3d_decoder.{STAGE_NAMES[self.config.layout].head}")
            initialize_with_frequencies(head.conv_classes, self.config.n_classes)
            if head.occ_classes is not None:
                initialize_with_frequencies(head.occ_classes, 2)
        return task
