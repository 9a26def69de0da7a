"""The scenes of `occdepth eval` and their description."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from occdepth_ros.commands.options.scenes import scan_options
from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.data.folder_scenes import FolderScenes
from occdepth_ros.data.scans.completion import RULES
from occdepth_ros.data.semantic_kitti.dataset import OFFICIAL, SCANS, expand_sequences, voxel_frames
from occdepth_ros.data.semantic_kitti.scan_options import ScanOptions
from occdepth_ros.data.semantic_kitti.scenes import SCANS as LABELLED_SCANS
from occdepth_ros.data.semantic_kitti.scenes import SemanticKittiScenes
from occdepth_ros.data.synthetic.dataset import SyntheticDataset
from occdepth_ros.data.synthetic.folder import SyntheticFolder
from occdepth_ros.errors import SourceError

GENERATED = 32
"""Default number of generated scenes."""


@dataclass(frozen=True)
class Opened:
    """Scenes for an evaluation.

    Args:
        scenes: data set to score.
        ground truth: name of the ground truth, for reports.
        title: name of the data set, for images.
        about: description of the set in the report.
        caveat: why the scores are not comparable with the benchmark; empty if they are.
    """

    scenes: SceneDataset
    ground_truth: str
    title: str
    about: dict[str, Any] = field(default_factory=dict)
    caveat: str = ""


class FirstScenes:
    """The first scenes of a data set.

    Args:
        scenes: all scenes.
        count: maximum number of scenes.
    """

    def __init__(self, scenes: SceneDataset, count: int) -> None:
        self._scenes, self._count = scenes, min(count, len(scenes))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> SceneExample:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._scenes[index]


def open_scenes(arguments: argparse.Namespace) -> Opened:
    """Open the scenes of `--dataset`, `--root`, `--sequences`, `--labels`, `--count`, `--seed` and `--cache`.

    Raises:
        SourceError, ImageError, CalibrationError: the data set does not exist or is not usable.
    """
    if arguments.count is not None and arguments.count < 1:
        raise SourceError(
            f"{arguments.count} is not a positive number of scenes", where="--count", remedy="Give 1 or more."
        )
    if arguments.dataset not in SCORED:
        raise SourceError(
            f"no model has the classes of {arguments.dataset}",
            where="--dataset",
            remedy=f"Score on {', '.join(SCORED)}; --check checks its files.",
        )
    return SCORED[arguments.dataset](arguments)


def _synthetic(arguments: argparse.Namespace) -> Opened:
    scenes: SceneDataset
    about: dict[str, Any] = {"split": "test"}
    if arguments.root is None:
        if arguments.seed < 0:
            raise SourceError(f"the seed {arguments.seed} is below 0", where="--seed", remedy="Give 0 or more.")
        scenes = SyntheticDataset(arguments.seed, arguments.count or GENERATED, split="test")
        about["seed"] = arguments.seed
    else:
        scenes = SyntheticFolder(arguments.root, "test")
        scenes = scenes if arguments.count is None else FirstScenes(scenes, arguments.count)
    return Opened(scenes, "synthetic", "synthetic", about)


def _semantic_kitti(arguments: argparse.Namespace) -> Opened:
    if arguments.root is None:
        raise SourceError(
            "the folder of the data set is not given", where="--root", remedy="Give the folder with dataset/."
        )
    names = expand_sequences(arguments.sequences or ["val"])
    scans = scan_options(arguments.rule, arguments.later, arguments.variants)
    if scans is not None and arguments.labels != LABELLED_SCANS:
        raise SourceError(
            f"labels of the kind {arguments.labels} are not made of scans",
            where="--rule, --later, --variants",
            remedy=f"Add --labels {LABELLED_SCANS}, or leave them out.",
        )
    options = scans or ScanOptions()
    cache = None if arguments.cache is None else arguments.cache / "labels"
    scenes: SceneDataset = SemanticKittiScenes(arguments.root, names, arguments.labels, cache=cache, scans=options)
    scenes = scenes if arguments.count is None else FirstScenes(scenes, arguments.count)
    official = arguments.labels == OFFICIAL
    expected = sum(len(voxel_frames(name)) for name in names if name in SCANS)
    complete = official and len(scenes) == expected
    about = {"sequences": names, "benchmark_frames": expected, "complete": complete}
    ground_truth = "semantic_kitti" if official else arguments.labels
    if ground_truth == LABELLED_SCANS:
        ground_truth = f"scans, {next(name for name, rule in RULES.items() if rule == options.rule)}"
        about["later"] = options.later
    caveat = ""
    if not official:
        caveat = f"{ground_truth} is not the benchmark's ground truth: compare these scores with each other only."
    elif not complete:
        caveat = f"{len(scenes)} of the {expected} frames that the benchmark scores."
    return Opened(scenes, ground_truth, arguments.root.name, about, caveat)


def _folder(arguments: argparse.Namespace) -> Opened:
    if arguments.root is None:
        raise SourceError("the folder of the scenes is not given", where="--root", remedy="Give it.")
    scenes: SceneDataset = FolderScenes(arguments.root, arguments.sequences)
    scenes = scenes if arguments.count is None else FirstScenes(scenes, arguments.count)
    return Opened(scenes, "folder", arguments.root.name, {"sequences": list(arguments.sequences)})


SCORED: dict[str, Callable[[argparse.Namespace], Opened]] = {
    "semantic_kitti": _semantic_kitti,
    "synthetic": _synthetic,
    "folder": _folder,
}
"""Functions that open the data sets with the classes of the models."""
