"""Training recipes: what is trained, on what terms; a typed dataclass that YAML files fill."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module, resources
from pathlib import Path
from typing import Any, Literal, Protocol

import yaml

from occdepth_ros.errors import RecipeError
from occdepth_ros.training.task import Task
from occdepth_ros.training.teachers import CHOICES
from occdepth_ros.training.typed import reference, updated

FAMILIES = {
    "occdepth": "occdepth_ros.training.occdepth_options:OccDepthOptions",
    "edge": "occdepth_ros.training.edge_task:EdgeOptions",
    "lmscnet": "occdepth_ros.training.lmscnet_task:LmscNetOptions",
    "aicnet": "occdepth_ros.training.aicnet_task:AicNetOptions",
    "js3cnet": "occdepth_ros.training.js3cnet_task:Js3cNetOptions",
    "qpn": "occdepth_ros.training.qpn_task:QpnOptions",
    "monoocc": "occdepth_ros.training.monoocc_task:MonoOccOptions",
}
"""Families of networks: "module:dataclass" of their options, see `TaskOptions`."""

_RECIPES = resources.files("occdepth_ros.training") / "recipes"


class TaskOptions(Protocol):
    """A frozen dataclass with defaults: the section `task` of a recipe, in the terms of one family."""

    @property
    def model(self) -> str:
        """Name of the model that the weights are for."""

    def build(self) -> Task:
        """Make the task, its network with fresh weights."""


@dataclass(frozen=True)
class Optimization:
    """AdamW and its schedule.

    Args:
        learning_rate: the highest one.
        weight_decay: of all parameters.
        clip_norm: largest norm of the gradients; 0 = unlimited.
        schedule: "steps" multiplies the rate by `decay` at every milestone, "cosine" lets it fall to `decay` of
            itself by the end, "constant" leaves it.
        milestones: fractions of the training.
        decay: see `schedule`.
        warmup: fraction of the training in which the rate rises from nothing.
        warmup_steps: the same in steps; the longer of both counts.
        betas: of AdamW: how slowly the means of gradients and of their squares forget.
        encoder_factor: learning rate of the 2-D encoder, as a share of that of the rest.
        average: decay of an exponential moving average of the weights per step, such as 0.996; the average is what is
            validated and written. 0 = none.
    """

    learning_rate: float = 2e-4
    weight_decay: float = 1e-4
    clip_norm: float = 35.0
    schedule: Literal["steps", "cosine", "constant"] = "steps"
    milestones: tuple[float, ...] = (0.6, 0.8)
    decay: float = 0.4
    warmup: float = 0.0
    warmup_steps: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    encoder_factor: float = 1.0
    average: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("average", self.average), ("betas[0]", self.betas[0]), ("betas[1]", self.betas[1])):
            if not 0 <= value < 1:
                raise RecipeError(
                    f"{value:g} is not between 0 and 1", where=f"optimization.{name}", remedy="Such as 0.99."
                )
        if self.encoder_factor <= 0:
            raise RecipeError(
                f"{self.encoder_factor:g} is not positive",
                where="optimization.encoder_factor",
                remedy="Give more than 0; an option of the task freezes the encoder.",
            )

    def factor(self, step: int, steps: int) -> float:
        """Learning rate at a step of so many, as a share of the highest."""
        done = step / steps
        rising = max(self.warmup * steps, self.warmup_steps)
        warm = min(1.0, (step + 1) / rising) if rising > 0 else 1.0
        if self.schedule == "cosine":
            return warm * (self.decay + (1 - self.decay) * (1 + math.cos(math.pi * min(done, 1.0))) / 2)
        if self.schedule == "steps":
            return float(warm * self.decay ** sum(done >= milestone for milestone in self.milestones))
        return warm


@dataclass(frozen=True)
class Recipe:
    """Everything about a training but the data set.

    Args:
        family: of networks, a key of `FAMILIES`.
        task: options of the family: network, losses, augmentation.
        optimization: AdamW and its schedule.
        epochs: how often every training scene is seen; rounded so that whole rounds of `save_every` come out. Of
            several data sets with shares: on average over all of their scenes.
        steps: of the optimiser; rounded likewise; 0 = as many as `epochs` asks for.
        scenes_per_step: scenes that one step of the optimiser averages over, on all devices together; gradients are
            accumulated to reach it.
        batch_size: scenes that a device runs at once.
        precision: number format of the convolutions.
        channels_last: lay convolution weights out with channels innermost; faster on CPUs.
        teacher: where the depth to be distilled comes from: "dataset" (what the scenes bring), "none", or a teacher's
            name.
        workers: processes that prepare scenes, per device; 0 = none besides the training itself.
        seed: of weights, order and augmentation.
        save_every: steps between two checkpoints.
        validate_every: checkpoints between two validations.
        validation_scenes: so many scenes of the validation set, evenly spread; 0 = all.
        best_by: the validation score that chooses the final weights.
        log_every: steps between two lines of the log.
    """

    family: str = "occdepth"
    task: Mapping[str, Any] = field(default_factory=dict)
    optimization: Optimization = field(default_factory=Optimization)
    epochs: float = 30.0
    steps: int = 0
    scenes_per_step: int = 4
    batch_size: int = 1
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    channels_last: bool = True
    teacher: str = "dataset"
    workers: int = 2
    seed: int = 42
    save_every: int = 500
    validate_every: int = 1
    validation_scenes: int = 0
    best_by: Literal["ssc_miou", "sc_iou"] = "ssc_miou"
    log_every: int = 10

    def __post_init__(self) -> None:
        for name in ("epochs", "scenes_per_step", "batch_size", "save_every", "validate_every", "log_every"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"{getattr(self, name)} is not positive", where=name, remedy="Give more than 0.")
        for name in ("steps", "workers", "validation_scenes", "seed"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{getattr(self, name)} is negative", where=name, remedy="Give 0 or more.")
        if self.teacher not in CHOICES:
            raise RecipeError(
                f"there is no depth teacher {self.teacher!r}", where="teacher", remedy=f"Known: {', '.join(CHOICES)}."
            )
        # a mistake in this section is found when the recipe is read
        self.task_options()

    def task_options(self) -> TaskOptions:
        """The section `task` in the terms of its family.

        Raises:
            RecipeError: the family, a key or a value is wrong.
        """
        options: TaskOptions = updated(task_options(self.family)(), self.task, "task")
        return options


def task_options(family: str) -> type[Any]:
    """The dataclass of a family's options.

    Raises:
        RecipeError: there is no such family.
    """
    if family not in FAMILIES:
        raise RecipeError(f"there is no family {family!r}", where="family", remedy=f"Known: {', '.join(FAMILIES)}.")
    module, _, name = FAMILIES[family].partition(":")
    options: type[Any] = getattr(import_module(module), name)
    return options


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(Path(entry.name).stem for entry in _RECIPES.iterdir() if entry.name.endswith(".yaml"))


def read_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name: one of `recipe_names`, or the path of a YAML file.
        changes: "key=value" each, the key dotted and the value YAML, such as "optimization.learning_rate=1e-3".

    Raises:
        RecipeError: there is no such recipe, or it is wrong; the text names the place.
    """
    values = _values_of(name)
    for change in changes:
        key, sign, text = change.partition("=")
        if not sign or not key:
            raise RecipeError(f"{change!r} is not of the form key=value", where="--set", remedy="Such as epochs=2.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"{text!r} is not YAML ({error})", where=f"--set {key}") from error
        _put(values, key.split("."), value)
    return updated(Recipe(), values)


def recipe_text(recipe: Recipe) -> str:
    """The whole recipe as YAML, defaults written out."""
    return str(yaml.safe_dump(reference(recipe), sort_keys=False))


def _values_of(name: str) -> dict[str, Any]:
    path = Path(name)
    inside = _RECIPES / f"{name}.yaml"
    if name in recipe_names():
        text = inside.read_text(encoding="utf-8")
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(
                f"there is no recipe {name!r}, and no such file can be read ({error})",
                where="recipe",
                remedy=f"Give a YAML file, or one of {', '.join(recipe_names())}.",
            ) from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"this is not YAML ({error})", where=name) from error
    if not isinstance(values, dict):
        raise RecipeError("the file holds no keys and values", where=name, remedy="See the recipes of the package.")
    return values


def _put(values: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key)
        values[key] = values = dict(inner) if isinstance(inner, Mapping) else {}
    values[keys[-1]] = value
