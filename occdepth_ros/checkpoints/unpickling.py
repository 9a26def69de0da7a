"""Reading tensors out of training checkpoints whose pickles hold foreign objects, without running any of it.

A checkpoint of PyTorch-Lightning is a zip archive with one pickle, which refers to tensors by name, and one
uncompressed entry per tensor. Here every class and function that the pickle names is replaced by an inert
object, except for what tensors and ordered dictionaries are made of; nothing foreign is imported or called.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading import STATE_ENTRIES

MAX_PICKLE_BYTES = 1 << 26
"""Largest pickle that is read; those of real checkpoints hold a few hundred kilobytes beside the tensors."""

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
    """Stands for any foreign object: takes whatever the pickle does to it, and does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, *_: object, **__: object) -> InertObject:
        """As a function does."""
        return self

    def __setstate__(self, _: object) -> None: ...

    def __setitem__(self, _: object, __: object) -> None: ...

    def append(self, _: object) -> None:
        """As a list does."""

    def extend(self, _: object) -> None:
        """As a list does."""

    def add(self, _: object) -> None:
        """As a set does."""


# With slots, so that a pickle cannot change them after they were checked.
@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: torch.dtype
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor that is still in its archive.

    Args:
        storage: the archive's entry.
        offset: first element in it.
        size, stride: as of torch tensors.
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
            raise pickle.UnpicklingError("a tensor is described by something else than whole numbers")
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
        self.foreign: set[str] = set()
        # a class of this reading alone: a pickle may set attributes of what it names
        self._inert = type("Inert", (InertObject,), {})

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
        _, dtype, key, _, count = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or type(count) is not int:
            raise pickle.UnpicklingError("a storage of unknown kind")
        return _Storage(dtype, key, count)


@dataclass(frozen=True)
class TrainingCheckpoint:
    """What was found in a training checkpoint.

    Args:
        state: tensors of the first of `STATE_ENTRIES` that is there, or of the whole file where there is no such entry.
        facts: plain numbers and texts at the top level, such as epoch and global_step.
        foreign: names of the classes and functions that were replaced by inert objects.
    """

    state: dict[str, torch.Tensor]
    facts: dict[str, int | float | str] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()


def read_training_checkpoint(path: Path) -> TrainingCheckpoint:
    """Read the tensors of a checkpoint without executing it.

    Raises:
        CheckpointError: the file is missing, damaged, or not such a checkpoint.
    """
    path = Path(path)
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"cannot be read ({error.strerror or error})", where=where, remedy="Give the path of a checkpoint."
        ) from error
    # what a damaged or hostile pickle raises is anybody's guess
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"this is not a PyTorch checkpoint, or it is damaged or cut ({reason})",
            where=where,
            remedy="Fetch it again and compare its size and checksum with the publisher's.",
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
    content = unpickler.load()
    top = content if isinstance(content, Mapping) else {}
    facts = {k: v for k, v in top.items() if isinstance(k, str) and type(v) in (int, float, str)}
    entries = next((top[key] for key in STATE_ENTRIES if isinstance(top.get(key), Mapping)), top)
    if not isinstance(entries, Mapping):
        raise pickle.UnpicklingError("its state_dict is no dictionary")
    records = {k: v for k, v in entries.items() if isinstance(k, str) and isinstance(v, TensorRecord)}
    if not records or (entries is not top and len(records) != len(entries)):
        raise pickle.UnpicklingError("its state_dict holds something else than named tensors")
    state = {name: _tensor(archive, folder, record, file_size) for name, record in records.items()}
    return TrainingCheckpoint(state, facts, frozenset(unpickler.foreign))


def _tensor(archive: zipfile.ZipFile, folder: str, record: TensorRecord, file_size: int) -> torch.Tensor:
    entry = archive.getinfo(f"{folder}data/{record.storage.key}")
    expected = record.storage.count * record.storage.dtype.itemsize
    if entry.file_size != expected or expected > file_size:
        raise pickle.UnpicklingError(f"{entry.filename} has {entry.file_size} bytes instead of {expected}")
    if 0 in record.size:
        return torch.empty(record.size, dtype=record.storage.dtype)
    flat = torch.frombuffer(bytearray(archive.read(entry)), dtype=record.storage.dtype)
    return flat.as_strided(record.size, record.stride, record.offset).clone(memory_format=torch.contiguous_format)
