"""Mean of several trainings of one network (Wortsman et al., "Model soups", ICML 2022).

Trainings that share their initial weights can be averaged; the mean of the weights before and after fine-tuning keeps
accuracy on both data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save

from occdepth_ros.checkpoints.packing import header_of
from occdepth_ros.errors import CheckpointError
from occdepth_ros.files import write_whole
from occdepth_ros.models.loading.state import check_finite, read_state


def average(sources: Sequence[Path], target: Path, shares: Sequence[float] | None = None) -> dict[str, str]:
    """Write the mean of weights files.

    Args:
        sources: safetensors files or state dicts written by torch.save, all for one network; no code in them is
            executed.
        target: file to write; it has the number formats and the header of the first source.
        shares: weight of each file in the mean, positive; normalised to a sum of 1. None = equal.

    Returns:
        the header.

    Raises:
        CheckpointError: a file is damaged, or the files belong to different networks.
        OutputError: the target cannot be written.
    """
    shares = [1.0] * len(sources) if shares is None else shares
    if len(sources) < 2 or len(shares) != len(sources) or min(shares) <= 0:
        raise CheckpointError(
            f"{len(sources)} files with {len(shares)} shares cannot be averaged",
            where="weights mean",
            remedy="Give two files or more, and one positive share per file or none.",
        )
    states = [read_state(source) for source in sources]
    first = states[0]
    for source, state in zip(sources[1:], states[1:], strict=True):
        wrong = [name for name in first.keys() | state.keys() if _shape(first.get(name)) != _shape(state.get(name))]
        if wrong:
            raise CheckpointError(
                f"{len(wrong)} tensors differ in name or shape from those of {sources[0].name}, such as {min(wrong)}",
                where=str(source),
                remedy="Give weights of one network.",
            )
    total = sum(shares)
    mean = {}
    for name, tensor in first.items():
        if not tensor.is_floating_point():
            # batch counters, on which no prediction depends
            mean[name] = tensor.contiguous()
            continue
        parts = [state[name].double() * (share / total) for state, share in zip(states, shares, strict=True)]
        mean[name] = torch.stack(parts).sum(0).to(tensor.dtype).contiguous()
    check_finite(mean, str(target))
    header = header_of(sources[0])
    write_whole(target, save(mean, header or None))
    return header


def _shape(tensor: torch.Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)
