"""Files of octree streams in the formats of the C++ library: `.bt` (binary) and `.ot` (full)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from occdepth_ros.errors import OccDepthError
from occdepth_ros.files import write_whole

TreeKind = Literal["OcTree", "ColorOcTree"]

_COMMENT = "# (feel free to add / change comments, but leave the first line as it is!)\n#\n"
_FIRST_LINE: dict[str, str] = {"OcTree": "# Octomap OcTree binary file\n", "ColorOcTree": "# Octomap OcTree file\n"}
_COLOR_NODE_BYTES = 8


def node_count(kind: TreeKind, stream: bytes) -> int:
    """Return the number of nodes of the tree in a stream, including leaves."""
    if kind == "ColorOcTree":
        return len(stream) // _COLOR_NODE_BYTES
    words = np.frombuffer(stream, "<u2")
    low, high = words & 0x5555, words >> 1 & 0x5555
    # An inner child has both bits set and is counted by its own word.
    leaves = (low ^ high).astype(np.uint16)
    return len(words) + int(np.unpackbits(leaves.view(np.uint8)).sum())


def write_octree(path: Path | str, kind: TreeKind, stream: bytes, resolution: float) -> None:
    """Write an OcTree as `.bt`, or a ColorOcTree as `.ot`. If writing fails, no file is left behind.

    Raises:
        OccDepthError: the file name has a different suffix.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    suffix = ".bt" if kind == "OcTree" else ".ot"
    if path.suffix != suffix:
        raise OccDepthError(f"the suffix of a {kind} file must be {suffix}", where=str(path), remedy="Rename it.")
    about = f"id {kind}\nsize {node_count(kind, stream)}\nres {resolution:.12g}\ndata\n"
    header = f"{_FIRST_LINE[kind]}{_COMMENT}{about}".encode()
    write_whole(path, header + stream)
