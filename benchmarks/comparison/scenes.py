"""The scenes of the comparison: generated once, stored on disk, equal for every row."""

from __future__ import annotations

import multiprocessing
from functools import partial
from pathlib import Path

import cv2

from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.data.synthetic.dataset import SyntheticDataset
from occdepth_ros.data.synthetic.folder import read_scene, write_scene

SEED = 0


class Scenes:
    """Scene files in a given order."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> SceneExample:
        return read_scene(self.files[index])


def synthetic_scenes(
    folder: Path, split: str, count: int, *, workers: int = 1, past: tuple[int, ...] = ()
) -> SceneDataset:
    """Return the first scenes of a split; missing ones are generated.

    Args:
        folder: folder of scene files as written by `occdepth synthetic`.
        split: "train" or "test"; the splits share no scene.
        count: number of scenes.
        workers: number of processes that generate scenes.
        past: frame offsets of earlier images in generated scenes; existing scenes are not changed.

    Raises:
        OutputError: a scene cannot be written.
    """
    scenes = SyntheticDataset(SEED, count, split=split, past=past)
    files = [folder / f"{scenes.name(index)}.npz" for index in range(count)]
    missing = [index for index, file in enumerate(files) if not file.exists()]
    if missing:
        # start new interpreters, because OpenCV's threads do not survive a fork
        with multiprocessing.get_context("spawn").Pool(min(workers, len(missing)), cv2.setNumThreads, (1,)) as pool:
            pool.map(partial(_write, scenes, folder), missing, chunksize=1)
    return Scenes(files)


def _write(scenes: SyntheticDataset, folder: Path, index: int) -> None:
    write_scene(scenes[index], folder / f"{scenes.name(index)}.npz")
