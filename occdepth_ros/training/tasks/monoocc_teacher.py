"""The MonoOcc teacher: a frozen network whose feature volume is distilled into a student (MonoOcc, section 3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.models.loading.state import read_state
from occdepth_ros.models.monoocc.config import PRESETS
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.published import load_published
from occdepth_ros.training.task import Batch
from occdepth_ros.training.tasks.monoocc_volume_cache import TeacherFeatures, VolumeCache, rows_among


def load_teacher(preset: str, weights: Path) -> MonoOcc:
    """Load the teacher network in inference mode.

    Raises:
        CheckpointError: the weights are missing, damaged, or belong to another network.
    """
    network = MonoOcc(replace(PRESETS[preset], semantic=False))
    load_published(network, read_state(weights), where=str(weights))
    return network.eval().requires_grad_(False)


class VolumeTeacher:
    """Computes the teacher's features of a batch, or reads them from the cache.

    Args:
        network: the teacher in inference mode.
        cache: cache of its features; None = no cache.
    """

    def __init__(self, network: MonoOcc, cache: VolumeCache | None = None) -> None:
        self.network = network
        self.cache = cache

    @torch.no_grad()
    def targets(
        self, batch: Batch, i: int, requested: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the distillation targets of a scene.

        Args:
            batch: `image_t`, `references_t`, `proposed`, `coarse` and, with a cache, `teacher_features`.
            i: index of the scene in the batch.
            requested: flat indices of the voxels that the student computes, `[W]`, ascending; None = all.

        Returns:
            the teacher's features of K of these voxels, `[K, C]`, their positions in `requested`, `[K]`, and their true
            classes, `[K]`.
        """
        coarse = batch["coarse"][i]
        if self.cache is None:
            where = torch.arange(len(coarse), device=coarse.device) if requested is None else requested
            return self._look(batch, i, requested), torch.arange(len(where), device=coarse.device), coarse[where]
        kept: TeacherFeatures = batch["teacher_features"][i]
        voxels, features = kept.voxels, kept.features
        if voxels is None or features is None:
            voxels = ((coarse != EMPTY) & (coarse != UNKNOWN)).nonzero().flatten()
            features = self._look(batch, i, voxels)
            self.cache.keep(kept.path, voxels, features)
            # use the stored precision in the first epoch, too, so that all epochs use equal features
            features = features.half().float()
        chosen, rows = rows_among(voxels, requested)
        return features[chosen], rows, coarse[voxels[chosen]]

    def _look(self, batch: Batch, i: int, requested: torch.Tensor | None) -> torch.Tensor:
        images = batch["image_t"][i]
        if next(self.network.parameters()).device != images.device:
            self.network.to(images.device)
        features = self.network.features(images)
        return self.network.volumes(features, batch["references_t"][i], batch["proposed"][i], requested).last
