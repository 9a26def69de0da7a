"""Training task of MonoOcc's second stage: classes of voxels and pixels, and distillation from a teacher's volume."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.errors import RecipeError
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.layers.imagenet import load_lite0
from occdepth_ros.models.monoocc.backbones import EfficientNetLite0
from occdepth_ros.models.monoocc.config import PRESETS, SCALE, MonoOccConfig
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.proposals.source import ProposalSource
from occdepth_ros.models.monoocc.proposals.stereo import StereoProposals
from occdepth_ros.training.augmentation import Augmentation, jitter, mirrored
from occdepth_ros.training.losses.class_weights import class_logits
from occdepth_ros.training.losses.distillation import channel_divergence, published_divergence
from occdepth_ros.training.losses.monoocc import LossWeights, pixel_cross_entropy, voxel_losses
from occdepth_ros.training.task import Batch, Prepared
from occdepth_ros.training.tasks.monoocc_teacher import VolumeTeacher, load_teacher
from occdepth_ros.training.tasks.monoocc_views import SceneViews
from occdepth_ros.training.tasks.monoocc_volume_cache import VolumeCache

_BIAS = "pts_bbox_head.header.mlp_head.1.bias"
"""Bias of the class logits of the voxels."""
DIVERGENCES = {"channels": channel_divergence, "published": published_divergence}


@dataclass(frozen=True)
class MonoOccOptions:
    """The section `task` of a recipe of this family.

    Args:
        preset: a key of `occdepth_ros.models.monoocc.config.PRESETS`.
        late, semantic: whether the network has image-conditioned cross-attention, and the auxiliary loss on pixels.
        imagenet: initialize the backbone with ImageNet weights if a package provides them (EfficientNet-Lite0); its
            first stages and its batch norms are then frozen.
        freeze_encoder: freeze the whole backbone.
        frequencies: initialize the head with the class frequencies.
        augmentation: augmentation of training scenes.
        window: see `MonoOccTask`.
        losses: factors of the terms.
        teacher: weights file of the teacher for distillation; empty = no distillation.
        teacher_preset: network of the teacher.
        teacher_cache: folder that keeps the teacher's features of occupied voxels, so that the teacher processes every
            scene once and without colour jitter; empty = it processes every scene in every epoch.
        divergence: distillation loss, a key of `DIVERGENCES`.
        free_addend: added to the bias of the logit of "free" when the weights are written.

    Raises:
        RecipeError: a field is invalid.
    """

    preset: str = "monoocc-edge"
    late: bool = True
    semantic: bool = True
    imagenet: bool = False
    freeze_encoder: bool = False
    frequencies: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    window: int | None = None
    losses: LossWeights = field(default_factory=LossWeights)
    teacher: str = ""
    teacher_preset: str = "monoocc-edge-teacher"
    teacher_cache: str = ""
    divergence: Literal["channels", "published"] = "channels"
    free_addend: float = 0.0

    def __post_init__(self) -> None:
        for name in ("preset", "teacher_preset"):
            if getattr(self, name) not in PRESETS:
                raise RecipeError(
                    f"there is no network {getattr(self, name)!r}",
                    where=f"task.{name}",
                    remedy=f"Known: {', '.join(PRESETS)}.",
                )
        if self.imagenet and PRESETS[self.preset].backbone != "efficientnet-lite0":
            raise RecipeError(
                "no package provides ImageNet weights of this backbone",
                where="task.imagenet",
                remedy="Give them as a file with --backbone, or leave this off.",
            )
        if self.teacher and PRESETS[self.preset].channels != PRESETS[self.teacher_preset].channels:
            raise RecipeError(
                "teacher and student have volumes of different channels", where="task.teacher_preset", remedy="Match."
            )

    @property
    def model(self) -> str:
        """Name of the model that loads the trained weights."""
        return self.preset

    @property
    def past(self) -> tuple[int, ...]:
        """Frame offsets of the earlier images that scenes must contain."""
        teacher_past = PRESETS[self.teacher_preset].past if self.teacher else ()
        return tuple(sorted({*PRESETS[self.preset].past, *teacher_past}))

    def build(self) -> MonoOccTask:
        """Create the task with a newly initialized network and its teacher.

        Raises:
            CheckpointError: the weights of the backbone or teacher are missing or belong to another network.
        """
        config = replace(PRESETS[self.preset], late=self.late, semantic=self.semantic)
        teacher, cache = None, None
        if self.teacher:
            teacher = load_teacher(self.teacher_preset, Path(self.teacher))
        if self.teacher and self.teacher_cache:
            fingerprint = hashlib.sha256(Path(self.teacher).read_bytes()).hexdigest()
            cache = VolumeCache(Path(self.teacher_cache), fingerprint, (config.voxels, config.channels))
        task = MonoOccTask(
            config,
            augmentation=self.augmentation,
            window=self.window,
            losses=self.losses,
            teacher=teacher,
            cache=cache,
            divergence=self.divergence,
            free_addend=self.free_addend,
        )
        if self.imagenet:
            backbone = task.network.img_backbone
            assert isinstance(backbone, EfficientNetLite0)
            load_lite0(backbone.net)
            backbone.freeze_early_layers()
        if self.freeze_encoder:
            task.network.img_backbone.requires_grad_(False)
        if self.frequencies:
            logits = class_logits(config.n_classes)
            linear = task.network.pts_bbox_head.header.mlp_head[1]
            assert isinstance(linear, nn.Linear)
            with torch.no_grad():
                linear.bias.copy_(logits - logits.mean())
        return task


class MonoOccTask:
    """Trains MonoOcc on query proposals from stereo matching.

    Args:
        config: the network.
        augmentation: augmentation of training scenes before matching; None = as for OccDepth.
        window: edge of a random square of columns to which the voxel losses are limited in training, voxels;
            None = no limit.
        losses: factors of the terms.
        teacher: teacher network for distillation; None = no distillation.
        cache: cache of the teacher's features; None = no cache.
        divergence: distillation loss, a key of `DIVERGENCES`.
        proposals: source of the proposals; None = semi-global matching.
        free_addend: see `MonoOccOptions`.
    """

    classes = SEMANTIC_KITTI

    def __init__(
        self,
        config: MonoOccConfig,
        *,
        augmentation: Augmentation | None = None,
        window: int | None = None,
        losses: LossWeights | None = None,
        teacher: MonoOcc | None = None,
        cache: VolumeCache | None = None,
        divergence: Literal["channels", "published"] = "channels",
        proposals: ProposalSource | None = None,
        free_addend: float = 0.0,
    ) -> None:
        self.config = config
        self.augmentation = augmentation or Augmentation()
        self.window = window
        self.weights = losses or LossWeights()
        self.network: MonoOcc = MonoOcc(config)
        self.teacher = None if teacher is None else VolumeTeacher(teacher, cache)
        self._divergence = DIVERGENCES[divergence]
        self._past = tuple(sorted({*config.past, *(() if teacher is None else teacher.config.past)}))
        self._proposals = proposals
        self._free_addend = free_addend

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair, project the voxels, and create the targets of one scene.

        Returns:
            `image_v` and `references_v` for the student (v = s) and, in training, a teacher (v = t): images
            `[V, 3, H, W]` normalized float32, and the pixels of the voxels in them; `proposed` `[N]` bool; `target`
            `[X, Y, Z]` uint8; in training also `semantics` `[H, W]` uint8 at the size of the student's image (255
            everywhere if the scene has none), `coarse` `[N]` uint8 with a teacher, `teacher_features` with a cache, and
            `window` with windows.

        Raises:
            GridError: the voxel size of the ground truth differs from the network's.
            SourceError: a file of the cache is damaged or belongs to another teacher; or a network uses earlier
                images and the scene has none.
            CalibrationError: the images are too small to be matched.
        """
        self.config.check_grid(example.grid)
        window, mirrored_scene = None, rng is not None and bool(rng.random() < self.augmentation.mirror)
        if mirrored_scene:
            example = mirrored(example)
        taken = SceneViews.of(example, self._past)
        images = taken.images.movedim(-1, 1)
        if rng is not None:
            images = jitter(images, self.augmentation, rng)
            if self.window is not None:
                window = ColumnWindow.draw(self.window, self.config.grid.size[:2], rng)
        views = taken.with_images(images.movedim(1, -1).contiguous())
        left, right = views.images[:2].numpy()
        # one source for all scenes: it caches the last calibration, and each worker is a process
        source = self._proposals or StereoProposals()
        proposed = source(left, right, example.rig, example.grid)
        prepared: Prepared = {
            "proposed": torch.from_numpy(proposed.reshape(-1)),
            "target": torch.from_numpy(example.target),
        }
        prepared["image_s"], prepared["references_s"] = views.shown(self.config, example)
        if rng is None:
            return prepared
        if window is not None:
            prepared["window"] = window
        semantics = example.semantics
        if semantics is None:
            semantics = np.full(example.left.shape[:2], UNKNOWN, np.uint8)
        size = prepared["image_s"].shape[-2:]
        prepared["semantics"] = F.interpolate(
            torch.from_numpy(semantics)[None, None].float(), size=size, mode="nearest"
        )[0, 0].to(torch.uint8)
        if self.teacher is not None:
            prepared["coarse"] = torch.from_numpy(downsample_labels(example.target, SCALE).reshape(-1))
            # the cache serves all epochs and must not contain the jitter of one
            cache = self.teacher.cache
            theirs = (taken if cache else views).shown(self.teacher.network.config, example)
            prepared["image_t"], prepared["references_t"] = theirs
            if cache is not None:
                prepared["teacher_features"] = cache.read(example.name, mirrored=mirrored_scene)
        return prepared

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the weighted loss terms, averaged over the scenes."""
        terms: dict[str, torch.Tensor] = {}
        count = len(batch["target"])
        for i in range(count):
            for name, term in self._scene_losses(batch, i).items():
                terms[name] = terms.get(name, term.new_zeros(())) + term / count
        return terms

    def _scene_losses(self, batch: Batch, i: int) -> dict[str, torch.Tensor]:
        network, head = self.network, self.network.pts_bbox_head
        features = network.features(batch["image_s"][i])
        window: ColumnWindow | None = batch["window"][i] if "window" in batch else None
        # voxels without a loss are not computed: with a window of 96 these are five sixths of the grid
        requested = None if window is None else head.needed(window).to(features.device)
        volume = network.volumes(features, batch["references_s"][i], batch["proposed"][i], requested).last
        target = batch["target"][i]
        if window is None:
            logits = head.classify(volume)
        else:
            logits, target = head.classify_window(volume, window), window.crop(target)
        terms = voxel_losses(logits[None], target[None], self.weights)
        if self.config.semantic and "semantics" in batch:
            decoded = head.sem_decoder(features[:1])
            terms["pixels"] = self.weights.pixels * pixel_cross_entropy(decoded, batch["semantics"][i : i + 1])
        if self.teacher is not None and "coarse" in batch:
            theirs, rows, coarse = self.teacher.targets(batch, i, requested)
            terms["distillation"] = self.weights.distillation * self._divergence(volume[rows], theirs, coarse)
        return terms

    def finished(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """See `FinishingTask`."""
        bias = state[_BIAS].clone()
        bias[0] += self._free_addend
        return {**state, _BIAS: bias}

    def logits(self, batch: Batch) -> torch.Tensor:
        """See `ClassifyingTask`."""
        network, logits = self.network, []
        for images, *rest in zip(batch["image_s"], batch["references_s"], batch["proposed"], strict=True):
            volume = network.volumes(network.features(images), *rest).last
            logits.append(network.pts_bbox_head.classify(volume))
        return torch.stack(logits)

    def predict(self, batch: Batch) -> torch.Tensor:
        """Predict the labels of every scene, `[B, X, Y, Z]` uint8."""
        network, head, labels = self.network, self.network.pts_bbox_head, []
        for images, *rest in zip(batch["image_s"], batch["references_s"], batch["proposed"], strict=True):
            labels.append(head.read_out(network.volumes(network.features(images), *rest).last)[0])
        return torch.stack(labels)
