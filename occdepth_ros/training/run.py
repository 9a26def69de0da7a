"""Run a training: from a recipe and data sets to a weights file and its scores."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console
from safetensors.torch import save

from occdepth_ros.data.example import SceneDataset
from occdepth_ros.errors import OutputError, RecipeError, TrainingError
from occdepth_ros.files import check_folder_path, write_whole
from occdepth_ros.models.loading.state import check_finite
from occdepth_ros.models.runtime.device import pick_device
from occdepth_ros.models.runtime.inference import channels_last
from occdepth_ros.training.averaging import ExponentialAverage
from occdepth_ros.training.checkpoints import finished_rounds, network_state
from occdepth_ros.training.config import Recipe, recipe_text
from occdepth_ros.training.data import PreparedScenes, RoundSampler, ValidationSampler, scene_loader
from occdepth_ros.training.initial import load_initial
from occdepth_ros.training.mixture import Mixture
from occdepth_ros.training.module import SceneModule
from occdepth_ros.training.reporting import VALIDATION, CsvTable, Reporter
from occdepth_ros.training.synchronized_norms import synchronized
from occdepth_ros.training.task import BeginningTask, FinishingTask, Task
from occdepth_ros.training.typed import as_yaml, updated

LAST, BEST = "last", "best"
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}

FREE_KEYS = ("workers", "log_every", "validate_every", "validation_scenes", "best_by", "teacher")
"""Recipe keys that a resumed training may change."""


@dataclass(frozen=True)
class Plan:
    """Division of a training into rounds and steps.

    Args:
        rounds: number of rounds; a checkpoint ends each.
        steps_per_round: optimizer steps per round.
        accumulate: batches per device and step.
    """

    rounds: int
    steps_per_round: int
    accumulate: int

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.rounds * self.steps_per_round

    @classmethod
    def of(cls, recipe: Recipe, scenes: int, devices: int) -> Plan:
        """Divide the steps or epochs of a recipe.

        Raises:
            RecipeError: the scenes of a step cannot be divided among the devices.
            TrainingError: the training set is empty.
        """
        if scenes == 0:
            raise TrainingError("the training set is empty", where="dataset", remedy="Give sequences with labels.")
        at_once = recipe.batch_size * devices
        if recipe.scenes_per_step % at_once:
            raise RecipeError(
                f"{recipe.scenes_per_step} scenes cannot be shared among {devices} devices of {recipe.batch_size} each",
                where="scenes_per_step",
                remedy=f"Give a multiple of {at_once}.",
            )
        steps = recipe.steps or math.ceil(recipe.epochs * scenes / recipe.scenes_per_step)
        rounds = max(1, round(steps / recipe.save_every))
        return cls(rounds, math.ceil(steps / rounds), recipe.scenes_per_step // at_once)


def train(
    recipe: Recipe,
    training: SceneDataset,
    validation: SceneDataset | None,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    initial: Path | None = None,
    backbone: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train, validate, and write the weights.

    Under torchrun every process calls this function, and the devices of all machines share the work.

    Args:
        recipe: the settings.
        training: training scenes.
        validation: scenes that select the best weights; None = the last weights are written.
        out: folder of checkpoints, logs, `weights.safetensors` and `scores.json`.
        device: "auto", "cpu" or "cuda".
        resume: continue after the last checkpoint, if there is one.
        initial: weights of the same network to start from.
        backbone: weights of the 2-D encoder to start from.
        console: where progress is shown; None = standard error.

    Returns:
        the content of `scores.json`.

    Raises:
        OccDepthError: recipe, data, weights or folder cannot be used.
    """
    last = _last_checkpoint(out, recipe, resume)
    quiet_lightning()
    seed_everything(recipe.seed, workers=True, verbose=False)
    target = pick_device(device)
    rank, devices = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if recipe.precision == "float16" and target.type == "cpu":
        raise RecipeError("a CPU cannot train in float16", where="precision", remedy="Use bfloat16 or float32.")
    plan = Plan.of(recipe, len(training), devices)
    options = recipe.task_options()
    task = options.build()
    load_initial(task.network, initial, backbone)
    if isinstance(task, BeginningTask):
        task.begin()
    if devices > 1 and target.type == "cuda":
        task.network = synchronized(task.network)
    if recipe.channels_last:
        channels_last(task.network)
    module = SceneModule(task, recipe.optimization, plan.steps)
    pin = target.type == "cuda"
    per_round = plan.steps_per_round * recipe.scenes_per_step
    order = RoundSampler(Mixture.of(training), per_round, seed=recipe.seed, rank=rank, devices=devices)
    if last is not None:
        # Lightning's trainer starts the workers before it calls `set_epoch`
        order.set_epoch(finished_rounds(last))
    loader = scene_loader(
        PreparedScenes(training, task, recipe.seed),
        order,
        batch_size=recipe.batch_size,
        workers=recipe.workers,
        pin=pin,
    )
    val_loader = None
    if validation is not None:
        sampler = ValidationSampler(len(validation), recipe.validation_scenes, rank=rank, devices=devices)
        prepared = PreparedScenes(validation, task, None)
        val_loader = scene_loader(prepared, sampler, batch_size=1, workers=min(recipe.workers, 1), pin=pin)
    console = console or Console(stderr=True)
    if rank == 0:
        write_whole(out / "recipe.yaml", recipe_text(recipe).encode())
        console.print(
            _opening(recipe, options.model, len(training), plan, target, devices), highlight=False, soft_wrap=True
        )
    trainer = make_trainer(recipe, plan, out, target, validates=validation is not None, console=console)
    try:
        trainer.fit(module, loader, val_loader, ckpt_path=last, weights_only=True)
    except SystemExit as error:
        # Lightning raises this on Ctrl-C; the last checkpoint is complete
        raise KeyboardInterrupt from error
    scores: dict[str, Any] = {}
    if rank == 0:
        scores = _finish(out, options.model, recipe, plan, task)
        console.print(f"wrote {out / 'weights.safetensors'}", highlight=False, soft_wrap=True)
    return scores


def make_trainer(
    recipe: Recipe, plan: Plan, out: Path, target: torch.device, *, validates: bool, console: Console
) -> Trainer:
    """Create the Lightning trainer for a plan."""
    local, everywhere = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    callbacks: list[Callback] = [
        ModelCheckpoint(out, LAST, every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False)
    ]
    if validates:
        best = ModelCheckpoint(out, BEST, monitor=recipe.best_by, mode="max", enable_version_counter=False)
        callbacks.append(best)
    if recipe.optimization.average > 0:
        callbacks.append(ExponentialAverage(recipe.optimization.average, target))
    return Trainer(
        accelerator="cpu" if target.type == "cpu" else "cuda",
        devices=local,
        num_nodes=everywhere // local,
        strategy="ddp" if everywhere > 1 else "auto",
        precision=PRECISIONS[recipe.precision],  # type: ignore[arg-type]
        max_epochs=plan.rounds,
        accumulate_grad_batches=plan.accumulate,
        gradient_clip_val=recipe.optimization.clip_norm or None,
        check_val_every_n_epoch=recipe.validate_every,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        callbacks=[*callbacks, Reporter(out, recipe.log_every, console)],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=out,
    )


def quiet_lightning() -> None:
    """Silence Lightning's own messages; the reporter prints progress."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


def write_weights(path: Path, state: dict[str, torch.Tensor], *, model: str) -> None:
    """Write a safetensors file whose header names the model.

    Raises:
        CheckpointError: the weights contain NaN or infinity.
        OutputError: the file cannot be written.
    """
    check_finite(state, str(path))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_whole(path, save(tensors, {"model": model}))


def _last_checkpoint(out: Path, recipe: Recipe, resume: bool) -> Path | None:
    """Return the checkpoint to resume from.

    Raises:
        OutputError: a checkpoint exists, but resuming was not requested.
        RecipeError: the checkpoint was written with another recipe.
    """
    check_folder_path(out)
    path = out / f"{LAST}.ckpt"
    if not path.exists():
        return None
    if not resume:
        raise OutputError(
            "the folder contains a training", where=str(out), remedy="Add --resume, or give another folder."
        )
    try:
        # read through the dataclass, so that keys added since then get their defaults
        written = as_yaml(updated(Recipe(), yaml.safe_load((out / "recipe.yaml").read_text(encoding="utf-8"))))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe of this training cannot be read ({error})", where=str(out)) from error
    now = as_yaml(recipe)
    differing = [key for key in now if key not in FREE_KEYS and now[key] != written[key]]
    if differing:
        raise RecipeError(
            f"this training was started with another recipe: {', '.join(differing)} differ",
            where=str(out / "recipe.yaml"),
            remedy="Resume with the recipe in that file, or start in another folder.",
        )
    return path


def _opening(recipe: Recipe, model: str, scenes: int, plan: Plan, target: torch.device, devices: int) -> str:
    return (
        f"{model} on {scenes} scenes: {plan.steps} steps of {recipe.scenes_per_step} scenes, "
        f"{devices} x {target.type}, {recipe.precision}"
    )


def _finish(out: Path, model: str, recipe: Recipe, plan: Plan, task: Task) -> dict[str, Any]:
    """Write the weights with the best validation score, or the last weights, and their scores."""
    rows = CsvTable(out / VALIDATION).rows()
    path = out / "weights.safetensors"
    best = max(rows, key=lambda row: float(row[recipe.best_by]), default=None)
    # read from checkpoints, which contain the moving average if there is one
    state = network_state(out / f"{LAST if best is None else BEST}.ckpt")
    write_weights(path, task.finished(state) if isinstance(task, FinishingTask) else state, model=model)
    scores = {
        "model": model,
        "steps": plan.steps,
        "weights": {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "validation": None if best is None else {key: json.loads(value) for key, value in best.items()},
    }
    write_whole(out / "scores.json", (json.dumps(scores, indent=1) + "\n").encode())
    return scores
