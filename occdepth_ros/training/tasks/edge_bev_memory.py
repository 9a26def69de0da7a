"""Memory of the bird's-eye-view architecture in training: matches and classes of earlier pairs of a scene."""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import Matrix
from occdepth_ros.data.earlier import PosedPair
from occdepth_ros.data.example import SceneExample
from occdepth_ros.models.edge_bev.evidence import StereoEvidence
from occdepth_ros.models.edge_bev.image_network import ImageNetwork
from occdepth_ros.models.edge_bev.memory import MemoryContent, SceneMemory
from occdepth_ros.models.edge_bev.tables import BevTables
from occdepth_ros.models.images import ImageFit, resized

CACHED = 256
"""Number of earlier pairs whose disparity and classes are cached by each process that prepares scenes, 0.6 MB each."""

Measured = tuple[npt.NDArray[np.int16], torch.Tensor]
"""Disparity of the left image and class id of each cell of the image network's maps."""


class EarlierMeasurements:
    """Measures the earlier pairs of scenes, with a cache in memory.

    Args:
        image_network: network that classifies pixels; it is copied and not changed.
        network_input: creates the image network's input `[3, H, W]` from a resized image `[h, w, 3]` uint8.
        inverse_depth_error: see `BevConfig`.
    """

    def __init__(
        self,
        image_network: ImageNetwork,
        network_input: Callable[[npt.NDArray[np.uint8]], torch.Tensor],
        inverse_depth_error: float = 0.0,
    ) -> None:
        self._network = copy.deepcopy(image_network).cpu().float().eval().requires_grad_(False)
        self._network_input = network_input
        self._inverse_depth_error = inverse_depth_error
        self._cache: OrderedDict[bytes, Measured] = OrderedDict()

    def read(
        self, example: SceneExample, fit: ImageFit, evidence: StereoEvidence, tables: BevTables, pairs: int
    ) -> Callable[[npt.NDArray[np.uint8]], MemoryContent] | None:
        """Return a function that reads the last pairs before a scene, for `scene_inputs`.

        Args:
            example: the scene.
            fit: transform of its images.
            evidence, tables: evidence and tables of its calibration and grid.
            pairs: number of earlier pairs to remember.

        Returns:
            None without earlier pairs.

        Raises:
            SourceError, ImageError: an earlier pair cannot be read.
        """
        world = example.world_from_grid
        if example.history is None or world is None or pairs < 1:
            return None
        memory = SceneMemory(example.grid)
        for pair in example.history(pairs):
            self._add(memory, pair, fit, evidence, tables)
        memory.move(world)
        return partial(memory.read, world)

    def _add(
        self, memory: SceneMemory, pair: PosedPair, fit: ImageFit, evidence: StereoEvidence, tables: BevTables
    ) -> None:
        pose: Matrix = pair.world_from_grid
        memory.move(pose)
        disparity, classes = self._measured(pair, fit, evidence)
        memory.add(pose, evidence.of_disparity(disparity), tables, classes)

    def _measured(self, pair: PosedPair, fit: ImageFit, evidence: StereoEvidence) -> Measured:
        # the disparity also depends on the cameras, which are equal for all scenes of a drive
        key = hashlib.blake2b(pair.left.tobytes(), digest_size=16).digest()
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        left, right = resized(pair.left, fit), resized(pair.right, fit)
        with torch.inference_mode():
            logits, _ = self._network(self._network_input(left)[None])
        # sky is 0, as in prediction
        classes = logits[0].argmax(0).flatten().to(torch.uint8).clone()
        disparity = evidence.as_trained(evidence.matcher.match(left, right), self._inverse_depth_error)
        measured = disparity, classes
        self._cache[key] = measured
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return measured
