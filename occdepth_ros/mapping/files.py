"""Map files: `.npz` files are complete; `.bt` and `.ot` are OctoMap files, which other tools read and write."""

from __future__ import annotations

import json
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from occdepth_ros.errors import OccDepthError, SourceError
from occdepth_ros.files import whole_file
from occdepth_ros.mapping.evidence import tick_of
from occdepth_ros.mapping.fusion import OccupancyMap
from occdepth_ros.mapping.octree_blocks import blocks_of
from occdepth_ros.mapping.store import Key, check
from occdepth_ros.outputs.octomap import write_bt, write_ot
from occdepth_ros.outputs.octree.files import read_octree
from occdepth_ros.outputs.selection import Selection

FORMAT = "occdepth_ros map 1"
SUFFIXES = (".npz", ".bt", ".ot")
MAX_FILE_BYTES = 1 << 30
"""Largest content of an `.npz` that is read."""
_DAMAGE = (
    *(ValueError, KeyError, TypeError, EOFError, OverflowError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, SyntaxError, tokenize.TokenError),
)
"""Exceptions of zipfile and numpy for damaged archives."""


def save_map(path: Path, world: OccupancyMap) -> None:
    """Write the whole map, window and stored blocks; the file is complete or absent.

    Args:
        path: ends in `.npz`, `.bt` or `.ot`.
        world: a map with at least one prediction.

    Raises:
        SourceError: the suffix is not supported, or the map is empty.
        OutputError, OccDepthError: the file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise SourceError(
            f"maps are written as {', '.join(SUFFIXES)}, not as {path.suffix or 'a file without a suffix'}",
            where=str(path),
            remedy="Change the suffix.",
        )
    blocks = world.blocks()
    if not blocks:
        raise SourceError("the map is empty", where=str(path), remedy="Save it after the first prediction.")
    if path.suffix == ".npz":
        _write_npz(path, world, blocks)
        return
    write = write_bt if path.suffix == ".bt" else write_ot
    write(path, world.whole(), Selection("all", completed_free=False))


def load_map(path: Path, world: OccupancyMap) -> None:
    """Replace the content of a map by that of a file.

    `.npz` holds the whole map. `.ot` (ColorOcTree) holds occupied cells with class and confidence and free cells,
    `.bt` and `.ot` (OcTree) hold occupied and free cells without classes; see `blocks_of`. They may come from other
    tools. Their cells count as seen, at the time of the newest prediction.

    Raises:
        SourceError: the file cannot be read, is damaged, or has another resolution or class table. The map is
            unchanged then.
    """
    try:
        if path.suffix in (".bt", ".ot"):
            stamp_ns = world.stamp_ns or 0
            blocks = _octree_blocks(path, world, tick_of(stamp_ns))
        else:
            blocks, stamp_ns = _npz_blocks(path, world)
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror or error}", where=str(path), remedy="Check the path."
        ) from None
    except _DAMAGE as error:
        raise SourceError(
            f"is no map file of this package, or is damaged: {error}",
            where=str(path),
            remedy="Load a file that `occdepth map`, the service save_map or OctoMap wrote.",
        ) from None
    world.replace_blocks(blocks, stamp_ns)


def _npz_blocks(path: Path, world: OccupancyMap) -> tuple[dict[Key, bytes], int]:
    """Return the blocks and the stamp of an `.npz` file."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_FILE_BYTES:
            raise ValueError(f"more than {MAX_FILE_BYTES >> 20} MB of content")
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(bytes(file["about"]).decode())
        keys, ends, payload = file["keys"], file["ends"], bytes(file["payload"])
    blocks = _blocks(about, keys, ends, payload)
    _check_resolution(path, about["resolution"], world)
    if about["classes"] != list(world.classes.names):
        raise SourceError(
            f"the map has {len(about['classes']) - 1} classes, this one {len(world.classes) - 1}, or other names",
            where=str(path),
            remedy="Load it with the model that it was saved with.",
        )
    return blocks, int(about["stamp_ns"])


def _octree_blocks(path: Path, world: OccupancyMap, tick: int) -> dict[Key, bytes]:
    """Return the blocks of a `.bt` or `.ot` file."""
    file = read_octree(path)
    _check_resolution(path, file.resolution, world)
    try:
        return blocks_of(file, world.config, world.classes, tick)
    except OccDepthError as error:  # of a stream; the file is named where it is caught
        raise ValueError(error.what) from None


def _check_resolution(path: Path, resolution: float, world: OccupancyMap) -> None:
    if abs(resolution - world.config.resolution) > 1e-6:
        raise SourceError(
            f"the map has voxels of {resolution:g} m, this one {world.config.resolution:g} m",
            where=str(path),
            remedy="Load it with the resolution that it was saved with.",
        )


def _write_npz(path: Path, world: OccupancyMap, blocks: dict[Key, bytes]) -> None:
    order = sorted(blocks)
    about = {
        "format": FORMAT,
        "resolution": world.config.resolution,
        "classes": list(world.classes.names),
        "stamp_ns": world.stamp_ns or 0,
    }
    payload = b"".join(blocks[key] for key in order)
    with whole_file(path) as partial:
        np.savez_compressed(
            partial,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            keys=np.array(order, np.int32).reshape(-1, 3),
            ends=np.cumsum([len(blocks[key]) for key in order], dtype=np.int64),
            payload=np.frombuffer(payload, np.uint8),
        )


def _blocks(about: object, keys: np.ndarray, ends: np.ndarray, payload: bytes) -> dict[Key, bytes]:
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError("another format")
    if not isinstance(about.get("resolution"), (int, float)) or not isinstance(about.get("classes"), list):
        raise ValueError("no resolution or classes")
    int(about["stamp_ns"])
    if keys.ndim != 2 or keys.shape[1] != 3 or ends.shape != (len(keys),) or keys.dtype.kind != "i":
        raise ValueError("keys and lengths do not fit")
    starts = np.concatenate([[0], ends])
    if (np.diff(starts) <= 0).any() or int(starts[-1]) != len(payload):
        raise ValueError("lengths do not fit the content")
    blocks: dict[Key, bytes] = {}
    for (x, y, z), first, last in zip(keys.tolist(), starts[:-1], starts[1:], strict=True):
        block = payload[int(first) : int(last)]
        check(block)
        blocks[x, y, z] = block
    if len(blocks) != len(keys):
        raise ValueError("a block is listed twice")
    return blocks
