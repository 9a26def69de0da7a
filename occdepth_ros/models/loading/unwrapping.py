"""Extraction of the network's tensors from training checkpoints: entries of a checkpoint, prefixes of wrappers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Tensor = TypeVar("Tensor")

ENTRIES = (
    "state_dict", "model_state_dict", "model", "network", "net", "module", "weights",
    "ema", "ema_state_dict", "state_dict_ema", "model_ema", "params", "params_ema", "checkpoint", "generator",
)  # fmt: skip
"""Entries of a training checkpoint that may hold the network's tensors, the preferred ones first."""

MAX_DEPTH = 3
"""Largest depth of nested entries."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""Name prefixes added by wrappers: DataParallel, torch.compile, and modules that contain the network."""

COMPILED = "_orig_mod."
"""Prefix that torch.compile also adds inside names, for compiled parts."""

COUNTER = "n_averaged"
"""Key of the number of averaged models, which `torch.optim.swa_utils.AveragedModel` stores with the wrapped tensors."""


def network_entry(
    content: Mapping[Any, Any], is_tensor: Callable[[object], bool]
) -> tuple[Mapping[Any, Any], list[str]]:
    """Return the mapping that holds the network's tensors, and the entries that lead to it, one line each.

    Args:
        content: a checkpoint.
        is_tensor: whether a value is a tensor.
    """
    notes = []
    for _ in range(MAX_DEPTH):
        found = [key for key in ENTRIES if _holds_tensors(content.get(key), is_tensor, MAX_DEPTH)]
        if not found:
            break
        others = f"; not used: {', '.join(found[1:])}" if found[1:] else ""
        notes.append(f"weights taken from the entry {found[0]!r}{others}")
        content = content[found[0]]
    return content, notes


def _holds_tensors(value: object, is_tensor: Callable[[object], bool], depth: int) -> bool:
    if not isinstance(value, Mapping) or depth == 0:
        return False
    return any(map(is_tensor, value.values())) or any(
        _holds_tensors(value.get(key), is_tensor, depth - 1) for key in ENTRIES
    )


def unwrapped(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors under the network's own names, and the removed prefixes, one line each.

    A prefix is removed if all names have it, and `COMPILED` anywhere. Nothing is removed if two names would become
    equal.
    """
    notes = []
    names = {name: name.replace(COMPILED, "") for name in state}
    if any(COMPILED in name for name in state):
        notes.append(f"removed {COMPILED!r} from the names of the tensors")
    if names.get(COUNTER) == COUNTER and all(name.startswith("module.") for name in names.values() if name != COUNTER):
        del names[COUNTER]
        notes.append(f"left out {COUNTER!r}, the counter of averaged models")
    while names:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in names.values())), None)
        if prefix is None:
            break
        names = {old: name.removeprefix(prefix) for old, name in names.items()}
        notes.append(f"removed the prefix {prefix!r} from the names of the tensors")
    if len(set(names.values())) < len(names):
        return dict(state), []
    return {name: state[old] for old, name in names.items()}, notes
