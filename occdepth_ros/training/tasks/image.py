"""Training task of the image network, on images with pixel classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.models.edge_bev.config import N_CLASSES, BevConfig
from occdepth_ros.models.edge_bev.image_network import STRIDE, ImageNetwork, normalized
from occdepth_ros.models.layers.imagenet import load_lite0
from occdepth_ros.training.augmentation import Augmentation, jitter
from occdepth_ros.training.losses.bev_terms import balanced_pixel_term, pixel_term
from occdepth_ros.training.task import Batch, Prepared

RARE = (2, 3, 4, 5, 6, 7, 10, 14, 18, 19)
"""Classes on which half of the crops are centred: a random one of those in the image."""
COMMON_LABELS = {15: 20, 7: 21}
"""Labels that mean one of two classes in a data set without trunks and motorcyclists, see `ALTERNATIVES`. Road and
sidewalk are not alternatives of parking: a network trained that way classifies two fifths of the road as parking."""
FILL = (127, 127, 127)
CITYSCAPES_ASPECT = 1.2
"""Ratio of height to width above which an image counts as squeezed to a square; it is stretched to twice its width."""


@dataclass(frozen=True)
class ImageOptions:
    """The section `task` of a recipe of this family.

    Args:
        crop: height and width of a training crop, pixels of the network's scale.
        width: width to which an image is scaled before it is scaled at random, pixels.
        scales: smallest and largest random scale.
        augmentation: photometric changes, and the probability of a mirror image.
        trains: "network", or "classes" = the last layer only: a logistic regression with balanced labels on the
            features of given weights.
        freeze_encoder: keep the ImageNet weights of the encoder; features that are trained on synthetic images only are
            less suited to real images.
        anchor: weight of the squared distance of the last layer from its initial weights; for "classes" only.
    """

    crop: tuple[int, int] = (224, 384)
    width: int = 928
    scales: tuple[float, float] = (0.75, 1.6)
    augmentation: Augmentation = field(default_factory=Augmentation)
    trains: Literal["network", "classes"] = "network"
    freeze_encoder: bool = False
    anchor: float = 2e-3

    @property
    def model(self) -> str:
        """Name of the trained network."""
        return "image-network"

    def build(self) -> ImageTask:
        """Create the task; the encoder of its network has ImageNet weights."""
        return ImageTask(self)


class ImageTask:
    """Trains the image network on pixel classes.

    Args:
        options: the section `task` of a recipe.

    Raises:
        CheckpointError: the ImageNet weights are not installed.
    """

    classes = SEMANTIC_KITTI

    def __init__(self, options: ImageOptions | None = None) -> None:
        self.options = options or ImageOptions()
        config = BevConfig()
        network = ImageNetwork(N_CLASSES, config.pyramid, config.n_features)
        load_lite0(network.encoder)
        # the features are trained with the voxels
        network.features.requires_grad_(False)
        if self.options.freeze_encoder:
            network.encoder.requires_grad_(False)
        if self.options.trains == "classes":
            network.requires_grad_(False)
            network.classes.requires_grad_(True)
        self.network: nn.Module = network
        self._net = network
        self.begin()

    def begin(self) -> None:
        """Keep the class layer, from which the term `anchor` is the distance."""
        self._initial = [p.detach().clone() for p in self._class_layer]

    @property
    def _class_layer(self) -> list[nn.Parameter]:
        return list(self._net.classes.parameters())

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Crop one image at random; without randomness, resize it to the network's width.

        Returns:
            `image` `[3, h, w]`; `target`, labels of the cells, `[h/4, w/4, 1]`; and `merged`, whether the source has no
            trunks and motorcyclists, `[]`.
        """
        image, labels = example.left, example.semantics
        if labels is None:
            labels = np.full(image.shape[:2], UNKNOWN, np.uint8)
        if rng is None:
            image, labels = self._resized(image, labels)
            cells = labels[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        else:
            image, labels = self._cropped(image, labels, rng)
            planes = torch.from_numpy(image).movedim(2, 0)[None]
            image = jitter(planes, self.options.augmentation, rng)[0].movedim(0, 2).numpy()
            cells = _drawn(labels, rng)
        return {
            "image": normalized(torch.from_numpy(image)[None])[0],
            "target": torch.from_numpy(cells)[..., None],
            "merged": torch.tensor(example.merged_classes),
        }

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the cross entropy of the cells."""
        last = self.options.trains == "classes"
        if last:
            self._net.eval()
        elif self.options.freeze_encoder:
            self._net.encoder.eval()
        logits, _ = self._net(batch["image"])
        labels = batch["target"][..., 0].clone()
        merged = batch["merged"][:, None, None]
        for label, alternative in COMMON_LABELS.items():
            labels[(labels == label) & merged] = alternative
        if not last:
            return {"pixels": pixel_term(logits, labels)}
        pairs = zip(self._class_layer, self._initial, strict=True)
        distance = torch.stack([(p - q.to(p.device)).square().sum() for p, q in pairs]).sum()
        return {"pixels": balanced_pixel_term(logits, labels), "anchor": self.options.anchor * distance}

    def predict(self, batch: Batch) -> torch.Tensor:
        """Return the classes of the cells without sky, `[B, h/4, w/4, 1]` uint8."""
        logits, _ = self._net(batch["image"])
        return (logits[:, 1:].argmax(1) + 1).to(torch.uint8)[..., None]

    def _scale(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Return the factors along x and y that bring an image to the network's scale."""
        height, width = shape[:2]
        if height * CITYSCAPES_ASPECT > width:
            # squeezed to a square: the original is twice as wide, and its focal length is 1.1 of that width, not 0.58
            return 512 / width, 256 / height
        scale = self.options.width / width
        return scale, scale

    def _resized(
        self, image: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        x, y = self._scale(image.shape)
        width, height = (max(32, round(n * s / 32) * 32) for n, s in ((image.shape[1], x), (image.shape[0], y)))
        return (
            np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8),
            np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8),
        )

    def _cropped(
        self, image: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return a random window, scaled, slightly rotated, and randomly mirrored."""
        height, width = self.options.crop
        low, high = (math.log(s) for s in self.options.scales)
        scale = math.exp(rng.uniform(low, high))
        x, y = (s * scale for s in self._scale(image.shape))
        x *= math.exp(rng.uniform(-0.1, 0.1))
        centre = self._centre(labels, (width / x, height / y), rng)
        angle = math.radians(rng.normal() * 1.5)
        cos, sin = math.cos(angle), math.sin(angle)
        matrix = np.array([[cos * x, -sin * y, 0.0], [sin * x, cos * y, 0.0]])
        if rng.random() < self.options.augmentation.mirror:
            matrix[0] *= -1
        matrix[:, 2] = np.array([width / 2, height / 2]) - matrix[:, :2] @ centre
        size = width, height
        return (
            np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=FILL), np.uint8),
            np.asarray(cv2.warpAffine(labels, matrix, size, flags=cv2.INTER_NEAREST, borderValue=(UNKNOWN,)), np.uint8),
        )

    @staticmethod
    def _centre(
        labels: npt.NDArray[np.uint8], window: tuple[float, float], rng: np.random.Generator
    ) -> npt.NDArray[np.float64]:
        """Return the centre of the crop, (column, row): in half of the crops near a pixel of a rare class."""
        height, width = labels.shape
        at = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        coarse = labels[::3, ::3]
        present = [label for label in RARE if (coarse == label).any()]
        if present and rng.random() < 0.5:
            row, column = np.nonzero(coarse == rng.choice(present))
            pick = int(rng.integers(len(row)))
            at = np.array([3.0 * column[pick], 3.0 * row[pick]]) + rng.uniform(-0.3, 0.3, 2) * window
        for axis, (length, extent) in enumerate(zip((width, height), window, strict=True)):
            at[axis] = length / 2 if length <= extent else np.clip(at[axis], extent / 2, length - extent / 2)
        return at


def _drawn(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return the label of one random labelled pixel of every cell, 255 for cells without a labelled pixel."""
    rows, columns = (n // STRIDE for n in labels.shape)
    cells = labels.reshape(rows, STRIDE, columns, STRIDE).swapaxes(1, 2).reshape(rows, columns, -1)
    chosen = (rng.random(cells.shape, np.float32) + (cells != UNKNOWN)).argmax(2)
    return np.asarray(np.take_along_axis(cells, chosen[..., None], 2)[..., 0])
