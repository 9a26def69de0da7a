"""Octree streams as files that the C++ library and its tools open: `.bt` (binary) and `.ot` (full)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from occdepth_ros.errors import OccDepthError

TreeKind = Literal["OcTree", "ColorOcTree"]

_COMMENT = "# (feel free to add / change comments, but leave the first line as it is!)\n#\n"
_FIRST_LINE: dict[str, str] = {"OcTree": "# Octomap OcTree binary file\n", "ColorOcTree": "# Octomap OcTree file\n"}
_COLOR_NODE_BYTES = 8


def node_count(kind: TreeKind, stream: bytes) -> int:
    """Number of nodes of the tree in a stream, leaves included."""
    if kind == "ColorOcTree":
        return len(stream) // _COLOR_NODE_BYTES
    words = np.frombuffer(stream, "<u2")
    low, high = words & 0x5555, words >> 1 & 0x5555
    # an inner child has both bits set and is counted by its own word
    leaves = (low ^ high).astype(np.uint16)
    return len(words) + int(np.unpackbits(leaves.view(np.uint8)).sum())


def write_octree(path: Path | str, kind: TreeKind, stream: bytes, resolution: float) -> None:
    """Write a tree: an OcTree as `.bt`, a ColorOcTree as `.ot`; the file is whole or not there.

    Raises:
        OccDepthError: the name ends in something else, or the file cannot be written.
    """
    path = Path(path)
    suffix = ".bt" if kind == "OcTree" else ".ot"
    if path.suffix != suffix:
        raise OccDepthError(f"the tools look for the ending {suffix}", where=str(path), remedy="Rename it.")
    about = f"id {kind}\nsize {node_count(kind, stream)}\nres {resolution:.12g}\ndata\n"
    header = f"{_FIRST_LINE[kind]}{_COMMENT}{about}".encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(header + stream)
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> OccDepthError:
    remedy = "Check the folder and the free space."
    return OccDepthError(f"cannot be written: {error.strerror}", where=str(path), remedy=remedy)
