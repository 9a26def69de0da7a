"""The scenes that anchors are fitted to and scored on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.data.semantic_kitti import SemanticKitti
from occdepth_ros.errors import SourceError


class LabelledFrames:
    """Frames of SemanticKITTI as scenes."""

    def __init__(self, root: Path, sequences: Sequence[str], labels: str) -> None:
        self._frames = [
            (sequence, index) for sequence in SemanticKitti(root, sequences, labels) for index in range(len(sequence))
        ]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, number: int) -> SceneExample:
        sequence, index = self._frames[number]
        frame, truth = sequence.source[sequence.rows[index]], sequence.truth(index)
        name = f"{sequence.name}/{frame.name}"
        return SceneExample(name, frame.left, frame.right, sequence.source.rig, truth.grid, truth.labels)


def open_scenes(parsed: argparse.Namespace, names: Sequence[str], *, train: bool) -> SceneDataset:
    """The scenes that the command line asks for."""
    if parsed.root is None:
        raise SourceError("the folder of the data set is not given", where="--root")
    return LabelledFrames(parsed.root, names, parsed.labels)
