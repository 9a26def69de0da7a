"""The reader of safetensors files against the library's writer, and damaged files."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.models.loading.safetensors_file import DTYPES, read_metadata, read_tensors

writer = pytest.importorskip("safetensors.torch", reason="safetensors is not installed: pip install safetensors")


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 3), max_size=3)),
        max_size=4,
    )
)
def test_files_of_the_library_are_read_equally(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("file") / "weights.safetensors"
    tensors = {name: (torch.rand(shape) * 9).to(DTYPES[kind]) for name, (kind, shape) in entries.items()}
    path.write_bytes(writer.save(tensors, {"model": "m"}))
    found = read_tensors(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    assert read_metadata(path) == {"model": "m"}


def file_of(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"{", b""),
        ([], b""),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)),
        ({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
        ({"a": 7}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(9)),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, header: Any, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|entry|bytes"):
        read_tensors(file_of(tmp_path / "x.safetensors", header, data))


@pytest.mark.parametrize("content", [b"", b"1234567", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 50) + b"{}"])
def test_cut_headers_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    for read in (read_tensors, read_metadata):
        with pytest.raises(ValueError, match="header"):
            read(path)
