"""Training recipes: typed dataclasses that YAML files fill."""

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
from occdepth_ros.training.typed import as_yaml, updated

FAMILIES = {
    "occdepth": "occdepth_ros.training.tasks.occdepth_options:OccDepthOptions",
    "edge": "occdepth_ros.training.tasks.edge:EdgeOptions",
    "edge_bev": "occdepth_ros.training.tasks.edge_bev:EdgeBevOptions",
    "image": "occdepth_ros.training.tasks.image:ImageOptions",
    "lmscnet": "occdepth_ros.training.tasks.lmscnet:LmscNetOptions",
    "aicnet": "occdepth_ros.training.tasks.aicnet:AicNetOptions",
    "js3cnet": "occdepth_ros.training.tasks.js3cnet:Js3cNetOptions",
    "qpn": "occdepth_ros.training.tasks.qpn:QpnOptions",
    "monoocc": "occdepth_ros.training.tasks.monoocc:MonoOccOptions",
}
"""Families of networks: "module:dataclass" of their options, see `TaskOptions`."""

_RECIPES = resources.files("occdepth_ros.training") / "recipes"


class TaskOptions(Protocol):
    """A frozen dataclass with defaults: the section `task` of a recipe of one family."""

    @property
    def model(self) -> str:
        """Name of the model that loads the trained weights."""

    def build(self) -> Task:
        """Create the task with a newly initialized network."""


@dataclass(frozen=True)
class Optimization:
    """AdamW and its schedule.

    Args:
        learning_rate: maximum of the schedule.
        weight_decay: weight decay of all parameters.
        clip_norm: largest norm of the gradients; 0 = unlimited.
        schedule: "steps" multiplies the rate by `decay` at every milestone, "cosine" lowers it to `decay` times the
            maximum by the end, "constant" keeps it.
        milestones: positions as fractions of the training.
        decay: see `schedule`.
        warmup: fraction of the training in which the rate rises linearly from 0.
        warmup_steps: number of steps of the rise; the longer of both applies.
        betas: decay rates of AdamW's running means of the gradient and its square.
        encoder_factor: learning rate of the 2-D encoder relative to the other parameters.
        average: decay per step of an exponential moving average of the weights, such as 0.996; the average is
            validated and written. 0 = no average.
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
        """Return the learning rate at step `step` of `steps`, relative to the maximum."""
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
    """All settings of a training except the data set.

    Args:
        family: network family, a key of `FAMILIES`.
        task: options of the family: network, losses, augmentation.
        optimization: AdamW and its schedule.
        epochs: number of passes over the training scenes, rounded to whole rounds of `save_every` steps. For several
            data sets with shares: the average over all of their scenes.
        steps: optimizer steps, rounded to whole rounds; 0 = derived from `epochs`.
        scenes_per_step: scenes per optimizer step on all devices together; gradients are accumulated to reach it.
        batch_size: scenes per forward pass of a device.
        precision: number format of the convolutions.
        channels_last: store convolution weights with channels innermost; faster on CPUs.
        teacher: source of the depth for distillation: "dataset" (depth of the scenes), "none", or the name of a
            teacher.
        workers: processes per device that prepare scenes; 0 = the training process prepares them.
        seed: seed of weights, order and augmentation.
        save_every: steps between two checkpoints.
        validate_every: checkpoints between two validations.
        validation_scenes: number of validation scenes, evenly spread over the set; 0 = all.
        best_by: validation score that selects the final weights.
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
        # validate this section when the recipe is read
        self.task_options()

    def task_options(self) -> TaskOptions:
        """Parse the section `task` as the dataclass of its family.

        Raises:
            RecipeError: the family, a key or a value is invalid.
        """
        options: TaskOptions = updated(task_options(self.family)(), self.task, "task")
        return options


def task_options(family: str) -> type[Any]:
    """Parse the section `task` as the dataclass of its family.

    Raises:
        RecipeError: the family does not exist.
    """
    if family not in FAMILIES:
        raise RecipeError(f"there is no family {family!r}", where="family", remedy=f"Known: {', '.join(FAMILIES)}.")
    module, _, name = FAMILIES[family].partition(":")
    options: type[Any] = getattr(import_module(module), name)
    return options


def recipe_names() -> list[str]:
    """Return the names of the recipes of the package."""
    return sorted(Path(entry.name).stem for entry in _RECIPES.iterdir() if entry.name.endswith(".yaml"))


def read_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name: one of `recipe_names`, or the path of a YAML file.
        changes: overrides "key=value" with dotted key and YAML value, such as "optimization.learning_rate=1e-3".

    Raises:
        RecipeError: the recipe does not exist or is invalid; the text names the key.
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
    """Return the recipe as YAML with all defaults."""
    return str(yaml.safe_dump(as_yaml(recipe), sort_keys=False))


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
