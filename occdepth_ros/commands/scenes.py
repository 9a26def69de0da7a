"""Arguments that verbs which read a data set of scenes have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.factory import DATASETS, open_dataset
from occdepth_ros.data.semantic_kitti import OFFICIAL


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--dataset`, `--root`, `--sequences`, `--labels`."""
    add = parser.add_argument
    add("--dataset", choices=list(DATASETS), required=True, help="which data set")
    add("--root", type=Path, metavar="DIR", help="its folder; street without one is generated")
    add(
        "--sequences",
        nargs="+",
        metavar="S",
        default=[],
        help="semantic_kitti: numbers, train, val (default: train); street: train or test of a folder, or "
        "SPLIT:SEED:COUNT to be generated; nyu: train or test; tartanair: such as Easy/P000, train, val; folder: names "
        "of folders below the root",
    )
    add(
        "--labels",
        metavar="NAME",
        default=OFFICIAL,
        help="official, scans, or a derived truth such as recon10; tartanair: fused, visible",
    )


def open_scenes(arguments: argparse.Namespace, cache: Path | None = None) -> SceneDataset:
    """Open what these arguments name; `cache` is the folder for labels that are made once.

    Raises:
        OccDepthError: not all of it is there.
    """
    return open_dataset(arguments.dataset, arguments.root, arguments.sequences, labels=arguments.labels, cache=cache)
