"""Cache of computed ground truth on disk."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from occdepth_ros import __version__
from occdepth_ros.data.scans.completion import CompletedScene
from occdepth_ros.files import whole_file

REVISION = 1
"""Revision of the computation. An increase invalidates older files of the cache."""


class LabelCache:
    """Cache with one compressed file per ground truth.

    The file name contains a hash of the inputs, so that outdated files are not read. Several processes may use the same
    folder.

    Args:
        folder: folder of the files; it is created when the first ground truth is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, made_from: str, make: Callable[[], CompletedScene]) -> CompletedScene:
        """Read a ground truth, or compute and store it. A damaged file is replaced.

        Args:
            name: name of the frame, such as "08_000005".
            made_from: text that identifies all inputs of the computation except the version of the package.
            make: function that computes the ground truth.

        Raises:
            OutputError: the folder is not writable.
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
