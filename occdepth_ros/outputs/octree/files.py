"""Files of octree streams in the formats of the C++ library: `.bt` (binary) and `.ot` (full)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from occdepth_ros.errors import OccDepthError
from occdepth_ros.files import write_whole
from occdepth_ros.outputs.octree.reader import COLOR_NODE, leaf_count

TreeKind = Literal["OcTree", "ColorOcTree"]

_COMMENT = "# (feel free to add / change comments, but leave the first line as it is!)\n#\n"
_BINARY, _FULL = "# Octomap OcTree binary file\n", "# Octomap OcTree file\n"
_FIRST_LINE: dict[str, str] = {"OcTree": _BINARY, "ColorOcTree": _FULL}
MAX_FILE_BYTES = 256 << 20
"""Largest file that is read."""
_MAX_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class OctreeFile:
    """Content of a `.bt` or `.ot` file.

    Args:
        kind: name of the C++ class, such as "OcTree" or "ColorOcTree".
        is_binary: whether `stream` has only the states occupied and free (`.bt`).
        resolution: edge of the finest cells, metres.
        stream: the nodes in depth-first order.
    """

    kind: str
    is_binary: bool
    resolution: float
    stream: bytes


def node_count(kind: TreeKind, stream: bytes) -> int:
    """Return the number of nodes of the tree in a stream, including leaves."""
    if kind == "ColorOcTree":
        return len(stream) // COLOR_NODE.itemsize
    words = np.frombuffer(stream, "<u2")
    # each inner node has a word of its own
    return len(words) + leaf_count(words)


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


def read_octree(path: Path) -> OctreeFile:
    """Read the file of an octree, of this package or of the C++ library.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is larger than `MAX_FILE_BYTES`, or its header is not that of an octree; without a file name.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"more than {MAX_FILE_BYTES >> 20} MB")
    content = path.read_bytes()
    head, found, stream = content.partition(b"\ndata\n")
    text = head.decode("latin-1") + "\n" if len(head) < _MAX_HEADER_BYTES else ""
    if not found or not text.startswith((_BINARY, _FULL)):
        raise ValueError("no header of an octree")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    fields = {words[0]: words[1] for words in lines if len(words) == 2}
    if "id" not in fields or "res" not in fields:
        raise ValueError("a header without id and res")
    resolution = float(fields["res"])
    if not 0 < resolution < np.inf:
        raise ValueError(f"a resolution of {resolution} m")
    return OctreeFile(fields["id"], text.startswith(_BINARY), resolution, stream)
