"""A published checkpoint that was recognized: models that it fits and tensors that they take."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.models.loading import State


@dataclass(frozen=True)
class Published:
    """A recognized checkpoint.

    Args:
        models: names of the models that the tensors fit; several if these differ in no trained tensor.
        state: the tensors that the models take, under the models' parameter names.
        notes: further facts for the user, one line each.
    """

    models: tuple[str, ...]
    state: State
    notes: tuple[str, ...] = ()
