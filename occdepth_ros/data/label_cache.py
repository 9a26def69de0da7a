"""Ground truths that take seconds to make, kept in a folder."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from occdepth_ros import __version__
from occdepth_ros.data.scan_completion import CompletedScene
from occdepth_ros.files import whole_file

REVISION = 1
"""Counts up with every change of how ground truths are made, which makes older files of the cache stale."""


class LabelCache:
    """One compressed file a ground truth; what it was made from is part of its name, so that a stale one is never read.

    Several processes may use one folder.

    Args:
        folder: made when the first ground truth is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, made_from: str, make: Callable[[], CompletedScene]) -> CompletedScene:
        """Read a ground truth, or make and keep it; a damaged file is made again.

        Args:
            name: of the frame, such as "08_000005".
            made_from: everything that the ground truth depends on but the package's version.
            make: makes it.

        Raises:
            OutputError: the folder cannot be written to.
        """
        digest = hashlib.sha256(f"{__version__} {REVISION} {made_from}".encode()).hexdigest()[:16]
        path = self.folder / f"{name}.{digest}.npz"
        kept = _read(path)
        if kept is not None:
            return kept
        scene = make()
        with whole_file(path) as partial:
            np.savez_compressed(partial, target=scene.target, seen=np.packbits(scene.seen))
        return scene


def _read(path: Path) -> CompletedScene | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            target, bits = arrays["target"], arrays["seen"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if target.dtype != np.uint8 or target.ndim != 3 or bits.dtype != np.uint8 or bits.shape != (-(-target.size // 8),):
        return None
    return CompletedScene(target, np.unpackbits(bits, count=target.size).reshape(target.shape).astype(bool))
