"""Data sets of scenes by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.semantic_kitti import OFFICIAL
from occdepth_ros.data.semantic_kitti_scenes import SemanticKittiScenes
from occdepth_ros.data.town.dataset import SPLITS, StreetDataset
from occdepth_ros.data.town.folder import StreetFolder
from occdepth_ros.errors import SourceError


@dataclass(frozen=True)
class Request:
    """What a user asks of a data set.

    Args:
        root: its folder; None for data that are generated.
        sequences: parts of it, in its own terms; none = all.
        labels: which truth, where it has several.
        cache: folder for what is made once and kept; None = nothing is kept.
    """

    root: Path | None = None
    sequences: tuple[str, ...] = ()
    labels: str = OFFICIAL
    cache: Path | None = None


def _semantic_kitti(request: Request) -> SceneDataset:
    root = _root(request, "semantic_kitti", "the folder with dataset/sequences")
    cache = None if request.cache is None else request.cache / "labels"
    return SemanticKittiScenes(root, request.sequences or ("train",), request.labels, cache=cache)


def _street(request: Request) -> SceneDataset:
    """Of a folder: "train" or "test" or nothing; without one: SPLIT:SEED:COUNT."""
    names = request.sequences
    if len(names) > 1:
        raise SourceError(f"{len(names)} parts are asked for", where="sequences", remedy="Give one.")
    if request.root is not None:
        return StreetFolder(request.root, names[0] if names else None)
    split, _, numbers = (names[0] if names else "").partition(":")
    seed, _, count = numbers.partition(":")
    if split not in SPLITS or not seed.isdigit() or not count.isdigit() or int(count) < 1:
        raise SourceError(
            f"{' '.join(names) or 'nothing'} does not say which streets to generate",
            where="sequences",
            remedy=f"Give SPLIT:SEED:COUNT, such as train:0:500 (splits {', '.join(SPLITS)}), or a root to read from.",
        )
    return StreetDataset(int(seed), int(count), split=split)


DATASETS: dict[str, Callable[[Request], SceneDataset]] = {"semantic_kitti": _semantic_kitti, "street": _street}
"""How each data set is opened, by name."""


def open_dataset(
    kind: str,
    root: Path | None = None,
    sequences: Sequence[str] = (),
    *,
    labels: str = OFFICIAL,
    cache: Path | None = None,
) -> SceneDataset:
    """Open a data set.

    Args:
        kind: a key of `DATASETS`.
        root, sequences, labels, cache: see `Request`.

    Raises:
        SourceError, ImageError, CalibrationError: there is no such data set, or not all of it is there.
    """
    if kind not in DATASETS:
        raise SourceError(
            f"there is no data set {kind!r}", where="dataset", remedy=f"Choose from {', '.join(DATASETS)}."
        )
    return DATASETS[kind](Request(root, tuple(sequences), labels, cache))


def _root(request: Request, kind: str, what: str) -> Path:
    if request.root is None:
        raise SourceError(f"{kind} needs its folder", where="root", remedy=f"Give {what}.")
    return request.root
