"""Reading of weights files without executing them, and strict loading."""

from __future__ import annotations

import logging
import pickle
import re
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading.file_kind import UNPACK, kind_of
from occdepth_ros.models.loading.safetensors_file import read_tensors
from occdepth_ros.models.loading.unwrapping import network_entry, unwrapped

State = dict[str, torch.Tensor]
"""Tensor by parameter or buffer name."""

_SHOWN = 3
_LOG = logging.getLogger(__name__)
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
TAR_AT, TAR_MAGIC = 257, b"ustar"
"""Position and beginning of the magic of a tar archive."""
HEAD = 64
"""Number of bytes from which the kind of a file is recognised."""


def read_state(path: Path) -> State:
    """Read the tensors of a weights file.

    Accepts safetensors files, and files of `torch.save` (legacy format included) that contain only tensors and
    containers; other pickled objects are refused and never executed. Entries of a training checkpoint and prefixes of
    wrappers (see `unwrapping`) are resolved; a log message names them.

    Raises:
        CheckpointError: the file is missing, damaged, not a weights file, or contains other objects or NaN.
    """
    path = Path(path)
    where = str(path)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            file.seek(TAR_AT)
            is_tar = file.read(len(TAR_MAGIC)) == TAR_MAGIC
    except OSError as error:
        raise CheckpointError(
            f"cannot be read ({error.strerror})", where=where, remedy="Give the path of a weights file."
        ) from error
    if is_tar:
        raise CheckpointError("the file is a tar archive", where=where, remedy=UNPACK)
    if _is_safetensors(head):
        state: object = _read_safetensors(path)
    elif head.startswith((_ZIP_MAGIC, _PICKLE_MAGIC)):
        state = _read_torch(path)
    else:
        kind = kind_of(head)
        raise CheckpointError(kind.what, where=where, remedy=kind.remedy)
    return _checked(state, where)


def _is_safetensors(head: bytes) -> bool:
    # length of the JSON header, then the header; the format limits its length to 100 MB
    return head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= 100_000_000


def _read_safetensors(path: Path) -> State:
    try:
        return read_tensors(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the file is damaged or truncated ({error})", where=str(path), remedy="Download it again."
        ) from error


def _read_torch(path: Path) -> object:
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # a damaged archive may raise any exception, including AssertionError
    except Exception as error:
        refused = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if refused:
            raise CheckpointError(
                f"the file holds Python objects besides tensors ({refused[1]}), which are never executed",
                where=str(path),
                remedy="Extract its tensors: occdepth weights convert FILE OUT.safetensors; then use OUT.safetensors.",
            ) from error
        # the unpickler's own text advises to load unsafely
        unpickling = isinstance(error, pickle.UnpicklingError)
        # otherwise the first sentence of the text is the cause
        reason = "its pickle cannot be read" if unpickling else str(error).partition("\n")[0].partition(". ")[0]
        raise CheckpointError(
            f"the file is damaged or truncated ({reason})", where=str(path), remedy="Download it again."
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse zip files that torch.save did not write; torch reports damaged files itself.

    Raises:
        CheckpointError: the file is a TorchScript program or another zip file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        raise CheckpointError(
            "the file is a TorchScript program, which would be executed",
            where=str(path),
            remedy="Give the state dict that the program was made of (torch.save(model.state_dict(), FILE)).",
        )
    if "data.pkl" not in names:
        raise CheckpointError(
            "the file is a zip archive that torch.save did not write",
            where=str(path),
            remedy=UNPACK,
        )


def _checked(content: object, where: str) -> State:
    notes: list[str] = []
    if isinstance(content, Mapping):
        content, notes = network_entry(content, lambda value: isinstance(value, torch.Tensor))
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in content.items())
    ):
        raise CheckpointError(
            "the file does not hold named tensors",
            where=where,
            remedy="Give the state dict of a network, or a checkpoint with it as the entry state_dict.",
        )
    state, removed = unwrapped(content)
    for note in (*notes, *removed):
        _LOG.warning("%s: %s", where, note)
    check_finite(state, where)
    return state


def check_finite(state: Mapping[str, torch.Tensor], where: str) -> None:
    """Check that all weights are finite.

    Raises:
        CheckpointError: tensors contain NaN or infinity; the text names the first ones.
    """
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{len(broken)} tensors hold NaN or infinity: {_listed(broken)}",
            where=where,
            remedy="The training diverged or the file is damaged: take another checkpoint.",
        )


def load_strict(module: nn.Module, state: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Load `state` into `module`, which must have exactly these names and shapes.

    A module may name prefixes of tensors that older files lack in an attribute `OPTIONAL`; if no tensor of `state` has
    such a prefix, the module keeps its own.

    Raises:
        CheckpointError: names or shapes differ; the text counts them and shows the first ones.
    """
    own = module.state_dict()
    for prefix in getattr(module, "OPTIONAL", ()):
        kept = {name: tensor for name, tensor in own.items() if name.startswith(prefix)}
        if not kept.keys() & state.keys():
            state = {**state, **kept}
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    wrong_shape = [
        f"{name} {list(state[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    mistyped = [
        f"{name} {state[name].dtype} instead of {tensor.dtype}".replace("torch.", "")
        for name, tensor in own.items()
        if name in state and tensor.is_floating_point() and not state[name].is_floating_point()
    ]
    found = [
        f"{len(names)} {label}: {_listed(names)}"
        for names, label in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (wrong_shape, "of another shape"),
            (mistyped, "of another type"),
        )
        if names
    ]
    if found:
        raise CheckpointError(
            f"these weights are not for this network ({'; '.join(found)})",
            where=where,
            remedy="Choose the model that they were trained for, or other weights.",
        )
    module.load_state_dict(dict(state), strict=True)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
