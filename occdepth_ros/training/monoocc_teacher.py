"""A MonoOcc teacher: a frozen network whose volume of features a student imitates (MonoOcc, section 3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.models.loading import read_state
from occdepth_ros.models.monoocc.config import PRESETS
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.published import load_published
from occdepth_ros.training.task import Batch
from occdepth_ros.training.volume_cache import Imitated, VolumeCache, rows_among


def load_teacher(preset: str, weights: Path) -> MonoOcc:
    """A network that is imitated, with its weights, for inference.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    network = MonoOcc(replace(PRESETS[preset], semantic=False))
    load_published(network, read_state(weights), where=str(weights))
    return network.eval().requires_grad_(False)


class VolumeTeacher:
    """Looks at a batch's scenes, or remembers what it saw.

    Args:
        network: the teacher, for inference.
        cache: where its features are kept; None = nowhere.
    """

    def __init__(self, network: MonoOcc, cache: VolumeCache | None = None) -> None:
        self.network = network
        self.cache = cache

    @torch.no_grad()
    def imitated(
        self, batch: Batch, i: int, wanted: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What a student should resemble in a scene.

        Args:
            batch: `image_t`, `references_t`, `proposed`, `coarse` and, with a cache, `imitated`.
            i: the scene.
            wanted: flat indices of the voxels that the student computes, `[W]`, ascending; None = all.

        Returns:
            the teacher's features of some of them, `[K, C]`, their rows among the wanted ones, and their true classes.
        """
        coarse = batch["coarse"][i]
        if self.cache is None:
            where = torch.arange(len(coarse), device=coarse.device) if wanted is None else wanted
            return self._look(batch, i, wanted), torch.arange(len(where), device=coarse.device), coarse[where]
        kept: Imitated = batch["imitated"][i]
        voxels, features = kept.voxels, kept.features
        if voxels is None or features is None:
            voxels = ((coarse != EMPTY) & (coarse != UNKNOWN)).nonzero().flatten()
            features = self._look(batch, i, voxels)
            self.cache.keep(kept.path, voxels, features)
            # as it will be read: the first epoch must not see finer features than the others
            features = features.half().float()
        chosen, rows = rows_among(voxels, wanted)
        return features[chosen], rows, coarse[voxels[chosen]]

    def _look(self, batch: Batch, i: int, wanted: torch.Tensor | None) -> torch.Tensor:
        images = batch["image_t"][i]
        if next(self.network.parameters()).device != images.device:
            self.network.to(images.device)
        features = self.network.features(images)
        return self.network.volumes(features, batch["references_t"][i], batch["proposed"][i], wanted).last
