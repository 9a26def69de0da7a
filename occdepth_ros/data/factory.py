"""Data sets of scenes by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from occdepth_ros.data.checks import Problem
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.folder_scenes import FolderScenes, check_folder
from occdepth_ros.data.nyu import NyuScenes, check_nyu
from occdepth_ros.data.semantic_images import SemanticImages
from occdepth_ros.data.semantic_kitti.check import check_sequence
from occdepth_ros.data.semantic_kitti.dataset import OFFICIAL, expand_sequences, find_root
from occdepth_ros.data.semantic_kitti.scan_options import ScanOptions
from occdepth_ros.data.semantic_kitti.scenes import SCANS, SemanticKittiScenes
from occdepth_ros.data.synthetic.dataset import SPLITS, SyntheticDataset
from occdepth_ros.data.synthetic.folder import SyntheticFolder
from occdepth_ros.data.tartanair.check import check_tartanair
from occdepth_ros.data.tartanair.scenes import GroundTruth, TartanScenes
from occdepth_ros.errors import SourceError


@dataclass(frozen=True)
class Request:
    """Selection of scenes of a data set.

    Args:
        root: folder of the data set; None for generated data.
        sequences: names of sequences or splits; empty = the default of the data set.
        labels: kind of ground truth, for data sets with several kinds.
        cache: folder for derived labels; None = derived labels are not stored.
        scans: rule and selection for labels made from scans; None = the defaults.
        past: offsets of the earlier images of each scene, frames.
    """

    root: Path | None = None
    sequences: tuple[str, ...] = ()
    labels: str = OFFICIAL
    cache: Path | None = None
    scans: ScanOptions | None = None
    past: tuple[int, ...] = ()


def _semantic_kitti(request: Request) -> SceneDataset:
    root = _root(request, "semantic_kitti", "the folder with dataset/sequences")
    cache = None if request.cache is None else request.cache / "labels"
    return SemanticKittiScenes(
        root,
        request.sequences or ("train",),
        request.labels,
        cache=cache,
        scans=request.scans or ScanOptions(),
        past=request.past,
    )


def _synthetic(request: Request) -> SceneDataset:
    """Open generated scenes: a split of the folder `root`, or SPLIT:SEED:COUNT without `root`."""
    names = request.sequences
    if len(names) > 1:
        raise SourceError(f"{len(names)} sequences are requested", where="sequences", remedy="Give one.")
    if request.root is not None:
        return SyntheticFolder(request.root, names[0] if names else None)
    split, _, numbers = (names[0] if names else "").partition(":")
    seed, _, count = numbers.partition(":")
    if split not in SPLITS or not seed.isdigit() or not count.isdigit() or int(count) < 1:
        raise SourceError(
            f"{' '.join(names) or 'nothing'} does not specify scenes to generate",
            where="sequences",
            remedy=f"Give SPLIT:SEED:COUNT, such as train:0:500 (splits {', '.join(SPLITS)}), or a root to read from.",
        )
    return SyntheticDataset(int(seed), int(count), split=split, past=request.past)


def _nyu(request: Request) -> SceneDataset:
    _only(request, "nyu", (OFFICIAL,))
    return NyuScenes(_root(request, "nyu", "the folder with NYUtrain and NYUtest"), _split(request.sequences, "train"))


def _tartanair(request: Request) -> SceneDataset:
    _only(request, "tartanair", (OFFICIAL, "fused", "visible"))
    root = _root(request, "tartanair", "the folder with office/Easy/P000")
    cache = None if request.cache is None else request.cache / "labels"
    ground_truth: GroundTruth = "visible" if request.labels == "visible" else "fused"
    return TartanScenes(root, request.sequences or ("train",), ground_truth=ground_truth, cache=cache)


def _folder(request: Request) -> SceneDataset:
    _only(request, "folder", (OFFICIAL,))
    return FolderScenes(_root(request, "folder", "the folder with left, right and voxels"), request.sequences)


def _images(request: Request) -> SceneDataset:
    _only(request, "images", (OFFICIAL,))
    return SemanticImages(_root(request, "images", "a folder of images with class ids next to them"), request.sequences)


DATASETS: dict[str, Callable[[Request], SceneDataset]] = {
    "semantic_kitti": _semantic_kitti,
    "synthetic": _synthetic,
    "nyu": _nyu,
    "tartanair": _tartanair,
    "folder": _folder,
    "images": _images,
}
"""Function that opens each data set, by name."""

RENAMED = {"street": "synthetic"}
"""Data sets by their former names."""

TEMPORAL = ("semantic_kitti", "synthetic")
"""Data sets whose scenes may have earlier images."""


def current_name(kind: str) -> str:
    """Return the current name of a data set. A former name causes a FutureWarning."""
    if kind not in RENAMED:
        return kind
    warnings.warn(f"data set {kind} is deprecated; use {RENAMED[kind]}", FutureWarning, stacklevel=2)
    return RENAMED[kind]


def _check_semantic_kitti(root: Path, sequences: Sequence[str]) -> Iterator[Problem]:
    folder = find_root(root) / "sequences"
    for name in expand_sequences(sequences or ("val",)):
        yield from check_sequence(folder / name)


CHECKS: dict[str, Callable[[Path, Sequence[str]], Iterable[Problem]]] = {
    "semantic_kitti": _check_semantic_kitti,
    "nyu": lambda root, sequences: check_nyu(root, _split(sequences, "test")),
    "tartanair": lambda root, sequences: check_tartanair(root, sequences or ("val",)),
    "folder": check_folder,
}
"""Function that checks the files of each data set, by name. It maps the root and the sequences to problems. If no
sequences are given, it checks those on which results are reported."""


def open_dataset(
    kind: str,
    root: Path | None = None,
    sequences: Sequence[str] = (),
    *,
    labels: str = OFFICIAL,
    cache: Path | None = None,
    scans: ScanOptions | None = None,
    past: Sequence[int] = (),
) -> SceneDataset:
    """Open a data set.

    Args:
        kind: a key of `DATASETS`.
        root, sequences, labels, cache, scans, past: see `Request`.

    Raises:
        SourceError, ImageError, CalibrationError: the data set is unknown or incomplete.
    """
    kind = current_name(kind)
    if kind not in DATASETS:
        raise SourceError(f"unknown data set {kind!r}", where="dataset", remedy=f"Choose from {', '.join(DATASETS)}.")
    if scans is not None and (kind, labels) != ("semantic_kitti", SCANS):
        raise SourceError(
            f"labels {labels!r} of {kind} are not made from scans",
            where="rule, later, variants",
            remedy=f"Omit them, or use semantic_kitti with labels {SCANS}.",
        )
    if past and kind not in TEMPORAL:
        raise SourceError(
            f"{kind} has no earlier images, and the network needs them",
            where="dataset",
            remedy=f"Use {' or '.join(TEMPORAL)}, or a network without temporal input.",
        )
    return DATASETS[kind](Request(root, tuple(sequences), labels, cache, scans, tuple(past)))


def _only(request: Request, kind: str, labels: Sequence[str]) -> None:
    if request.labels not in labels:
        raise SourceError(
            f"{kind} has no labels {request.labels!r}", where="labels", remedy=f"Choose from {', '.join(labels)}."
        )


def _split(names: Sequence[str], default: str) -> str:
    if len(names) > 1:
        raise SourceError(f"{len(names)} splits are requested", where="sequences", remedy="Give one.")
    return names[0] if names else default


def _root(request: Request, kind: str, what: str) -> Path:
    if request.root is None:
        raise SourceError(f"{kind} needs a root folder", where="root", remedy=f"Give {what}.")
    return request.root
