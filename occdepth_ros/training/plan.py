"""Plans: the stages of a training with cross-validation over places, as commands of `occdepth`.

A plan is a YAML file with the keys `data` (names of folders that the user gives), `folds` (name to held-out places) and
`stages`. A run is one fold, which is trained without its places, or `final`, which is trained on all places. Keys of a
stage:

name            folder of its files in every run
command         command line of `occdepth` with placeholders
shared          whether all runs use one result, from data that none of the folds holds out
only            "folds": the stage does not belong to the final run
result          file that the stage writes last, in its folder (weights.safetensors by default)
unless_held     additional arguments by place, which are left out if the place is held out

Placeholders: names of `data`; names of earlier stages (their result in the same run); `{out}` (folder of the stage),
`{cache}`, `{held}` and `{trained}` (places), `{others}` (`--fold` with weights and held-out places of all other folds
that run, from the stage before; of the fold itself if it runs alone).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import yaml

from occdepth_ros.errors import RecipeError
from occdepth_ros.training.typed import updated

FINAL = "final"
"""Name of the run that trains on all places."""
SHARED = "shared"
"""Folder of stages that all runs share."""
_PLANS = resources.files("occdepth_ros.training") / "plans"


@dataclass(frozen=True)
class Stage:
    """One stage, see the module; keys as in the file."""

    name: str = ""
    command: str = ""
    shared: bool = False
    only: str = ""
    result: str = "weights.safetensors"
    unless_held: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A stage of one run.

    Args:
        run: name of the run.
        stage: the stage.
        folder: its folder.
        words: the command line of `occdepth`.
    """

    run: str
    stage: Stage
    folder: Path
    words: tuple[str, ...]

    @property
    def result(self) -> Path:
        """The file that exists once the step is finished."""
        return self.folder / self.stage.result


@dataclass(frozen=True)
class TrainingPlan:
    """A plan.

    Args:
        data: names of the folders that the user specifies.
        folds: held-out places by name of the fold.
        stages: stages in the order of execution.
    """

    data: tuple[str, ...]
    folds: Mapping[str, tuple[str, ...]]
    stages: tuple[Stage, ...]

    @property
    def places(self) -> list[str]:
        """All places, ascending."""
        return sorted(place for places in self.folds.values() for place in places)

    def steps(self, data: Mapping[str, Path], out: Path, runs: Sequence[str]) -> Iterator[Step]:
        """Yield the steps of some runs in an order in which every step finds the results that it needs.

        Args:
            data: folder by name.
            out: folder of all results.
            runs: names of folds, `FINAL`.

        Raises:
            RecipeError: a folder is not given, a run does not exist, or a placeholder is unknown.
        """
        missing = [name for name in self.data if name not in data]
        if missing:
            raise RecipeError(
                f"the folder of {', '.join(missing)} is not given", where="--data", remedy=f"Add {missing[0]}=DIR."
            )
        unknown = [run for run in runs if run not in (*self.folds, FINAL)]
        if unknown:
            raise RecipeError(
                f"there is no run {unknown[0]!r}", where="--runs", remedy=f"Known: {', '.join((*self.folds, FINAL))}."
            )
        for at, stage in enumerate(self.stages):
            for run in [SHARED] if stage.shared else runs:
                if stage.only == "folds" and run == FINAL:
                    continue
                yield self._step(at, run, runs, data, out)

    def _step(self, at: int, run: str, runs: Sequence[str], data: Mapping[str, Path], out: Path) -> Step:
        stage = self.stages[at]
        held = self.folds.get(run, ())
        values = {name: str(path) for name, path in data.items()}
        for earlier in self.stages[:at]:
            values[earlier.name] = str(out / (SHARED if earlier.shared else run) / earlier.name / earlier.result)
        folder = out / run / stage.name
        values |= {"out": str(folder), "cache": str(out / "cache")}
        before = self.stages[at - 1] if at else stage
        # a fold that runs alone is evaluated with its own limits
        others = [name for name in self.folds if name in runs and name != run] or [run]
        lists = {
            "held": list(held),
            "trained": [place for place in self.places if place not in held],
            "others": [
                word
                for name in others
                for word in ("--fold", str(out / name / before.name / before.result), *self.folds.get(name, ()))
            ],
        }
        text = " ".join([stage.command, *(more for place, more in stage.unless_held.items() if place not in held)])
        words: list[str] = []
        for word in shlex.split(text):
            if word[1:-1] in lists and word == f"{{{word[1:-1]}}}":
                words += lists[word[1:-1]]
                continue
            try:
                words.append(word.format_map(values))
            except (KeyError, ValueError, IndexError) as error:
                known = ", ".join([*values, *lists])
                raise RecipeError(
                    f"the placeholder in {word!r} is unknown", where=f"stage {stage.name}", remedy=f"Known: {known}."
                ) from error
        return Step(run, stage, folder, tuple(words))


def plan_names() -> list[str]:
    """Return the names of the plans of the package."""
    return sorted(Path(entry.name).stem for entry in _PLANS.iterdir() if entry.name.endswith(".yaml"))


def read_plan(name: str) -> TrainingPlan:
    """Read a plan.

    Args:
        name: one of `plan_names`, or the path of a YAML file.

    Raises:
        RecipeError: the plan does not exist or is invalid.
    """
    try:
        file = _PLANS / f"{name}.yaml" if name in plan_names() else Path(name)
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(
            f"there is no plan {name!r}, and no such file can be read ({error})",
            where="plan",
            remedy=f"Give a YAML file, or one of {', '.join(plan_names())}.",
        ) from error
    keys = {"data", "folds", "stages"}
    if not isinstance(values, dict) or set(values) != keys or not isinstance(values["folds"], dict):
        raise RecipeError(f"a plan has the keys {', '.join(sorted(keys))}", where=name)
    stages = tuple(updated(Stage(), stage, f"stages[{at}]") for at, stage in enumerate(values["stages"]))
    folds = {str(fold): tuple(map(str, places)) for fold, places in values["folds"].items()}
    flat = [place for places in folds.values() for place in places]
    if len(set(flat)) != len(flat):
        raise RecipeError("a place is in two folds", where=f"{name}: folds")
    return TrainingPlan(tuple(values["data"]), folds, stages)
