"""Reading of safetensors files (https://github.com/huggingface/safetensors, "Format") without the library.

8 bytes    N, length of the header, unsigned little-endian
N bytes    JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}, and "__metadata__" -> text by text
the rest   the tensors, C-contiguous and little-endian; offsets count from here
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import torch

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
MAX_HEADER = 100_000_000
"""Largest header that the format allows, bytes."""


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read all tensors.

    Raises:
        ValueError: the file is damaged or truncated, or has a tensor of an unknown type; the text names the entry.
        OSError: the file cannot be read.
    """
    content = bytearray(path.read_bytes())
    entries, start = _header(content)
    size = len(content) - start
    tensors = {}
    used = 0
    for name, entry in entries.items():
        if name == "__metadata__":
            continue
        dtype, shape, begin, end = _entry(name, entry, size)
        used += end - begin
        data = memoryview(content)[start + begin : start + end]
        tensors[name] = (torch.frombuffer(data, dtype=dtype) if end > begin else torch.empty(0, dtype=dtype)).reshape(
            shape
        )
    if used != size:
        raise ValueError(f"the tensors have {used} bytes, the file has {size}")
    # copied, because the buffer may be unaligned and belongs to the file
    return {name: tensor.clone() for name, tensor in tensors.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata in the header, empty if there is none.

    Raises:
        ValueError: the header is damaged.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(8)
        length = struct.unpack("<Q", content)[0] if len(content) == 8 else 0
        content += file.read(min(length, MAX_HEADER))
    metadata = _header(content)[0].get("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ValueError("__metadata__ is not a mapping")
    return {str(key): str(value) for key, value in metadata.items()}


def _header(content: bytes | bytearray) -> tuple[dict[str, Any], int]:
    """Return the entries and the position of the first tensor."""
    if len(content) < 8:
        raise ValueError("the header is cut off")
    length = struct.unpack_from("<Q", content)[0]
    if not 2 <= length <= MAX_HEADER or 8 + length > len(content):
        raise ValueError(f"the header has {length} bytes, the file {len(content)}")
    try:
        entries = json.loads(bytes(content[8 : 8 + length]))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the header is not JSON ({error})") from error
    if not isinstance(entries, dict):
        raise ValueError("the header is not a JSON object")
    return entries, 8 + length


def _entry(name: str, entry: Any, size: int) -> tuple[torch.dtype, tuple[int, ...], int, int]:
    """Check one entry against the number of bytes of all tensors."""
    try:
        dtype = DTYPES[entry["dtype"]]
        shape = tuple(entry["shape"])
        begin, end = entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the entry {name!r} is malformed ({error})") from error
    numbers = (*shape, begin, end)
    if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers):
        raise ValueError(f"the entry {name!r} has numbers that are not sizes")
    if not begin <= end <= size or math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"the entry {name!r} of shape {list(shape)} does not match its bytes {begin} to {end}")
    return dtype, shape, begin, end
