"""Pairs that an evaluation scores although `occdepth run` and the node leave them out."""

from __future__ import annotations

from occdepth_ros.data.example import SceneExample
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks, UnusablePairError

SHOWN = 5
"""Maximum number of scenes that are named."""


class RefusedPairs:
    """Scenes whose images a check refuses, by the name of the fault.

    Scenes of a data set are not consecutive pairs. Each is therefore checked alone, without the checks that compare a
    pair with the one before it.
    """

    def __init__(self) -> None:
        self.by_fault: dict[str, list[str]] = {}
        self._count = 0

    def add(self, example: SceneExample) -> None:
        """Check the images of one scene."""
        self._count += 1
        try:
            InputChecks(example.rig).check(example.left, example.right)
        except UnusablePairError as error:
            self.by_fault.setdefault(error.name, []).append(example.name)

    @property
    def warning(self) -> str:
        """The numbers and the names of the refused pairs in one line; empty if there are none."""
        refused = sum(map(len, self.by_fault.values()))
        if not refused:
            return ""
        faults = "; ".join(
            f"{fault} {len(names)} ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"
            for fault, names in self.by_fault.items()
        )
        return (
            f"{refused} of {self._count} pairs are scored here, but left out by `occdepth run` and not published by "
            f"the node: {faults}."
        )
