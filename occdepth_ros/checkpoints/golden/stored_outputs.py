"""Golden files of any network: arrays, and a description with the shape of every stand-in tensor."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import CheckpointError

MAX_BYTES = 1 << 30
"""Largest unpacked golden file that is read."""


@dataclass(frozen=True)
class StoredOutputs:
    """Content of a golden file; the meaning of the arrays depends on the network's family.

    Args:
        path: the file.
        meta: its description.
        shapes: shape of every stand-in tensor by name.
        seed: seed of the filling rule.
        arrays: all stored arrays, by key; finite numbers.
    """

    path: Path
    meta: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    seed: int
    arrays: Mapping[str, npt.NDArray[Any]]

    def expect(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check the shapes of stored arrays.

        Raises:
            CheckpointError: an array is missing, or has another shape.
        """
        for key, shape in shapes.items():
            if key not in self.arrays or self.arrays[key].shape != shape:
                found = list(self.arrays[key].shape) if key in self.arrays else "missing"
                raise CheckpointError(
                    f"the golden file's description is inconsistent ({key} is {found}, not {list(shape)})",
                    where=str(self.path),
                    remedy="Download it again.",
                )


def read_stored(path: Path) -> StoredOutputs:
    """Read a golden file.

    Raises:
        CheckpointError: the file is missing, damaged, too large, or describes no network.
    """
    path = Path(path)
    where = str(path)
    arrays = read_arrays(path)
    if "meta" not in arrays:
        raise CheckpointError(
            "this file holds no outputs of a network (it has no entry `meta`)",
            where=where,
            remedy="Give a golden file such as occdepth_b3.npz.",
        )
    try:
        meta = json.loads(arrays["meta"].astype(np.uint8).tobytes())
        shapes = {str(k): tuple(int(n) for n in v) for k, v in meta["shapes"].items()}
        if any(n < 0 for shape in shapes.values() for n in shape):
            raise ValueError("a tensor has a negative size")
        seed = int(meta["weights_seed"])
        for key, array in arrays.items():
            if array.dtype.kind not in "fiu":
                raise ValueError(f"{key} is not numeric")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{key} holds NaN or infinity")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"the golden file's description is inconsistent ({error})", where=where, remedy="Download it again."
        ) from error
    return StoredOutputs(path, meta, shapes, seed, arrays)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return all arrays of an .npz file.

    Raises:
        CheckpointError: the file is missing, damaged or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise CheckpointError(f"unpacked it would be {size} bytes", where=str(path))
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except OSError as error:
        raise CheckpointError(
            f"cannot be read ({error.strerror or error})", where=str(path), remedy="Give the path of a golden file."
        ) from error
    except CheckpointError:
        raise
    # errors of zip, zlib and numpy headers have no common base class
    except Exception as error:
        raise CheckpointError(
            f"this is not an .npz file of numbers, or it is damaged ({error})",
            where=str(path),
            remedy="Download it again.",
        ) from error
