"""Reads the tensors of training checkpoints whose pickles contain foreign objects, without executing any of them.

A checkpoint of torch.save is a zip archive with one pickle, which refers to storages by name, and one uncompressed
entry per storage. Files of torch before 1.6 (legacy format) are five pickles in a row (magic number, protocol, system,
content, names of the storages), followed by the storages. Every class and function that a pickle names is replaced
by an inert object, except the constructors of tensors and ordered dictionaries; nothing foreign is imported or called.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading.unwrapping import network_entry, unwrapped

MAX_PICKLE_BYTES = 1 << 26
"""Largest pickle that is read, bytes; pickles of real checkpoints have a few hundred kilobytes without the tensors."""

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
"""First two pickles of a legacy file."""

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class InertObject:
    """Placeholder of any foreign object: accepts every operation of a pickle and does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, *_: object, **__: object) -> InertObject:
        """Ignore a call."""
        return self

    def __setstate__(self, _: object) -> None: ...

    def __setitem__(self, _: object, __: object) -> None: ...

    def append(self, _: object) -> None:
        """Ignore elements of a list."""

    def extend(self, _: object) -> None:
        """Ignore elements of a list."""

    def add(self, _: object) -> None:
        """Ignore an element of a set."""


# with slots, so that a pickle cannot change them after they were checked
@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: torch.dtype
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor that is not read yet.

    Args:
        storage: its storage in the file.
        offset: first element in it.
        size, stride: as in torch tensors.
    """

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _RebuildTensor:
    __slots__ = ()

    def __call__(self, storage: _Storage, offset: int, size: Any, stride: Any, *_: object) -> TensorRecord:
        numbers = (offset, *size, *stride)
        if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
            raise pickle.UnpicklingError("the description of a tensor contains values that are not integers")
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if math.prod(size) > storage.count or (0 not in size and last >= storage.count):
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        return TensorRecord(storage, offset, tuple(size), tuple(stride))


class _RebuildParameter:
    __slots__ = ()

    def __call__(self, data: TensorRecord, *_: object) -> TensorRecord:
        return data


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._file = file
        self.foreign: set[str] = set()
        self.storages: dict[str, _Storage] = {}
        # a class created for this call only, because a pickle may set attributes of the classes that it names
        self._inert = type("Inert", (InertObject,), {})

    def load(self) -> Any:
        start = self._file.tell()
        _check_memo(self._file)
        self._file.seek(start)
        return super().load()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")):
            return _RebuildTensor()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _RebuildParameter()
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        self.foreign.add(f"{module}.{name}")
        return self._inert

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, count, *view = pid
        if view not in ([], [None]):
            raise pickle.UnpicklingError("its storages are views of others, as torch before 0.4 wrote them")
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or type(count) is not int:
            raise pickle.UnpicklingError("a storage of unknown kind")
        return self.storages.setdefault(key, _Storage(dtype, key, count))


def _check_memo(file: io.BytesIO) -> None:
    """Refuse a pickle whose memo indices exceed its length: CPython allocates the memo up to the largest index.

    Six bytes would otherwise make the reader allocate and fill 64 GB.
    """
    start = file.tell()
    for opcode, argument, position in pickletools.genops(file):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= (position or 0) - start:
            raise pickle.UnpicklingError(f"its memo index {argument} exceeds its length")


@dataclass(frozen=True)
class TrainingCheckpoint:
    """Content of a training checkpoint.

    Args:
        state: the network's tensors, under its own names (see `unwrapping`).
        facts: numbers and texts at the top level, such as epoch and global_step.
        foreign: names of the classes and functions that were replaced by inert objects.
        notes: the entry that the tensors were taken from and the prefixes that were removed, one line each.
    """

    state: dict[str, torch.Tensor]
    facts: dict[str, int | float | str] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def read_training_checkpoint(path: Path) -> TrainingCheckpoint:
    """Read the tensors of a checkpoint without executing it.

    Raises:
        CheckpointError: the file is missing, damaged, or not such a checkpoint.
    """
    path = Path(path)
    where = str(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
            file.seek(0)
            if head[8:] == b"{":
                raise CheckpointError(
                    "this is a safetensors file, which needs no conversion", where=where, remedy="Use it as it is."
                )
            if head.startswith(b"\x80"):
                return _read_legacy(file, path.stat().st_size)
            if not zipfile.is_zipfile(file) and tarfile.is_tarfile(path):
                raise CheckpointError(
                    "this is a tar archive, the format of torch before 0.2",
                    where=where,
                    remedy="Load and save it with torch 0.2 to 1.5 on a machine that you trust it on.",
                )
            with zipfile.ZipFile(file) as archive:
                return _read(archive, path.stat().st_size)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"cannot be read ({error.strerror or error})", where=where, remedy="Give the path of a checkpoint."
        ) from error
    # a damaged or hostile pickle may raise any exception
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"this is not a PyTorch checkpoint, or it is damaged or truncated ({reason})",
            where=where,
            remedy="Download it again and compare its size and checksum with the publisher's.",
        ) from error


def _read(archive: zipfile.ZipFile, file_size: int) -> TrainingCheckpoint:
    pickles = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise pickle.UnpicklingError(f"the archive holds {len(pickles)} entries data.pkl, not one")
    if pickles[0].file_size > MAX_PICKLE_BYTES:
        raise pickle.UnpicklingError(f"its pickle has {pickles[0].file_size} bytes")
    folder = pickles[0].filename.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise pickle.UnpicklingError("its numbers are not little-endian")
    unpickler = _RestrictedUnpickler(io.BytesIO(archive.read(pickles[0])))

    def content_of(storage: _Storage) -> bytes:
        entry = archive.getinfo(f"{folder}data/{storage.key}")
        expected = storage.count * storage.dtype.itemsize
        if entry.file_size != expected or expected > file_size:
            raise pickle.UnpicklingError(f"{entry.filename} has {entry.file_size} bytes instead of {expected}")
        return archive.read(entry)

    return _checkpoint(unpickler.load(), unpickler.foreign, content_of)


def _read_legacy(file: BinaryIO, file_size: int) -> TrainingCheckpoint:
    pickles = io.BytesIO(file.read(MAX_PICKLE_BYTES))

    if _unpickled(pickles) != LEGACY_MAGIC or _unpickled(pickles) != LEGACY_PROTOCOL:
        raise pickle.UnpicklingError("a pickle, but not one of torch.save")
    system = _unpickled(pickles)
    if not isinstance(system, Mapping) or system.get("little_endian") is not True:
        raise pickle.UnpicklingError("its numbers are not little-endian")
    unpickler = _RestrictedUnpickler(pickles)
    content, keys = unpickler.load(), _unpickled(pickles)
    storages = unpickler.storages
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise pickle.UnpicklingError("the names of its storages do not fit its tensors")
    # the storages follow in this order, each preceded by its number of elements
    begins, position = {}, pickles.tell()
    for key in keys:
        begins[key] = position + 8
        position += 8 + storages[key].count * storages[key].dtype.itemsize
    if position > file_size:
        raise pickle.UnpicklingError("its storages reach beyond the file")

    def content_of(storage: _Storage) -> bytes:
        file.seek(begins[storage.key] - 8)
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count:
            raise pickle.UnpicklingError(f"the storage {storage.key} has {count} elements instead of {storage.count}")
        return file.read(count * storage.dtype.itemsize)

    return _checkpoint(content, unpickler.foreign, content_of)


def _unpickled(file: io.BytesIO) -> Any:
    return _RestrictedUnpickler(file).load()


def _checkpoint(content: object, foreign: set[str], content_of: Callable[[_Storage], bytes]) -> TrainingCheckpoint:
    top = content if isinstance(content, Mapping) else {}
    facts = {k: v for k, v in top.items() if isinstance(k, str) and type(v) in (int, float, str)}
    entries, notes = network_entry(top, lambda value: isinstance(value, TensorRecord))
    records = {k: v for k, v in entries.items() if isinstance(k, str) and isinstance(v, TensorRecord)}
    if not records or (entries is not top and len(records) != len(entries)):
        raise pickle.UnpicklingError("its state_dict holds something else than named tensors")
    records, removed = unwrapped(records)
    state = {name: _tensor(record, content_of) for name, record in records.items()}
    return TrainingCheckpoint(state, facts, frozenset(foreign), (*notes, *removed))


def _tensor(record: TensorRecord, content_of: Callable[[_Storage], bytes]) -> torch.Tensor:
    content = content_of(record.storage)
    if 0 in record.size:
        return torch.empty(record.size, dtype=record.storage.dtype)
    flat = torch.frombuffer(bytearray(content), dtype=record.storage.dtype)
    return flat.as_strided(record.size, record.stride, record.offset).clone(memory_format=torch.contiguous_format)
