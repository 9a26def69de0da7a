"""Training and test scenes of the anchors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.semantic_kitti.scenes import SemanticKittiScenes
from occdepth_ros.data.synthetic.dataset import SyntheticDataset
from occdepth_ros.errors import SourceError


def open_scenes(parsed: argparse.Namespace, names: Sequence[str], split: str) -> SceneDataset:
    """Return the requested scenes: sequences, or a number of synthetic scenes of a split.

    Raises:
        SourceError: the scenes are missing, or the number is invalid.
    """
    if parsed.dataset == "synthetic":
        count = int(names[0]) if len(names) == 1 and names[0].isdecimal() else 0
        if not count:
            raise SourceError(
                f"{' '.join(names)} is not a number of scenes", where=f"--{split}", remedy="Give one number, 1 or more."
            )
        return SyntheticDataset(0, count, split=split)
    if parsed.root is None:
        raise SourceError(
            "the folder of the data set is not given", where="--root", remedy="Give the folder with dataset/."
        )
    return SemanticKittiScenes(parsed.root, names, parsed.labels)
