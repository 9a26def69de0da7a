"""Complete trainings of a tiny network: loss, resuming, and written files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.scenes import scene
from rich.console import Console
from safetensors import safe_open

from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import CheckpointError, OutputError, RecipeError, TrainingError
from occdepth_ros.models.loading.state import load_strict, read_state
from occdepth_ros.training.averaging import ExponentialAverage
from occdepth_ros.training.checkpoints import finished_rounds, network_state
from occdepth_ros.training.config import Optimization, Recipe, read_recipe
from occdepth_ros.training.data import PreparedScenes
from occdepth_ros.training.initial import load_initial
from occdepth_ros.training.mixture import MixedScenes
from occdepth_ros.training.module import SceneModule
from occdepth_ros.training.run import LAST, Plan, train
from occdepth_ros.training.task import Batch, collate
from occdepth_ros.training.tasks.occdepth import OccDepthTask

pytestmark = pytest.mark.usefixtures("one_thread")

GRID = ["task.network.grid.size=[32,32,16]", "task.network.grid.origin=[0,-3.2,-1.0]"]
SMALL = [*GRID, "task.network.image=[64,96]", "task.augmentation.brightness=0.2"]


def recipe(*changes: str) -> Recipe:
    return read_recipe("tiny", [*SMALL, *changes])


class Scenes:
    """Two scenes that simulate a power failure after a number of reads."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.left = fails_after

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> SceneExample:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("power failure")
        return scene(index)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [{k: v for k, v in row.items() if k != "seconds_per_step"} for row in csv.DictReader(file)]


def assert_same_rows(first: Path, second: Path) -> None:
    """Compare two logs; two trainings agree to the rounding of their sums."""
    a, b = ([float(v or 0) for row in rows(path) for v in row.values()] for path in (first, second))
    assert a == pytest.approx(b, rel=1e-3, abs=1e-5)


def assert_same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    train(recipe("epochs=12", "save_every=4"), Scenes(), Scenes(), out, device="cpu", console=Console(quiet=True))
    return out


def test_a_training_fits_its_scenes(trained: Path) -> None:
    losses = [float(row["total"]) for row in rows(trained / "log.csv")]
    assert len(losses) == 12
    assert losses[-1] < 0.5 * losses[0]
    validation = rows(trained / "validation.csv")
    assert [int(row["step"]) for row in validation] == [4, 8, 12]
    assert float(validation[-1]["ssc_miou"]) > float(validation[0]["ssc_miou"])


def test_the_written_weights_have_the_best_validation_score(trained: Path) -> None:
    scores = json.loads((trained / "scores.json").read_text())
    best = max(rows(trained / "validation.csv"), key=lambda row: float(row["ssc_miou"]))
    assert scores["validation"]["step"] == int(best["step"])
    assert scores["validation"]["ssc_miou"] == float(best["ssc_miou"])
    task = recipe().task_options().build()
    load_strict(task.network, read_state(trained / "weights.safetensors"), where="weights")
    found = SceneModule(task, Optimization(), 1)
    found.network.eval()
    for index in range(2):
        batch = collate([task.prepare(scene(index), None)])
        with torch.inference_mode():
            found.scores.add(task.predict(batch)[0].numpy(), batch["target"][0].numpy())
    assert 100 * found.scores.mean_iou == pytest.approx(scores["validation"]["ssc_miou"], abs=1e-3)
    with safe_open(trained / "weights.safetensors", "pt") as file:
        assert file.metadata() == {"model": "occdepth-small"}


def test_a_resumed_training_equals_an_uninterrupted_one(trained: Path, tmp_path: Path) -> None:
    once = recipe("epochs=12", "save_every=4")
    with pytest.raises(RuntimeError, match="power failure"):
        # 8 scenes per round: the failure occurs in the second round, after the 7th step
        train(once, Scenes(14), None, tmp_path, device="cpu", console=Console(quiet=True))
    assert [int(row["step"]) for row in rows(tmp_path / "log.csv")] == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(OutputError, match="--resume"):
        train(once, Scenes(), None, tmp_path, device="cpu")
    with pytest.raises(RecipeError, match=r"optimization, seed differ"):
        changed = recipe("epochs=12", "save_every=4", "seed=1", "optimization.decay=0.3", "log_every=5")
        train(changed, Scenes(), None, tmp_path, device="cpu", resume=True)
    train(once, Scenes(), None, tmp_path, device="cpu", resume=True, console=Console(quiet=True))
    assert_same_rows(tmp_path / "log.csv", trained / "log.csv")
    assert_same_weights(*(network_state(path / f"{LAST}.ckpt") for path in (tmp_path, trained)))


def test_a_training_with_workers_resumes_with_the_next_scenes(tmp_path: Path) -> None:
    once = recipe("steps=4", "save_every=2", "workers=1", "seed=3")
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(once, Scenes(), None, whole, device="cpu", console=Console(quiet=True))
    with pytest.raises(RuntimeError, match="power failure"):
        train(once, Scenes(6), None, resumed, device="cpu", console=Console(quiet=True))
    assert finished_rounds(resumed / f"{LAST}.ckpt") == 1
    train(once, Scenes(), None, resumed, device="cpu", resume=True, console=Console(quiet=True))
    assert_same_rows(resumed / "log.csv", whole / "log.csv")


def test_the_average_is_validated_written_and_resumed(tmp_path: Path) -> None:
    averaging = recipe("steps=4", "save_every=2", "optimization.average=0.8")
    quiet = Console(quiet=True)
    whole, resumed_out = tmp_path / "whole", tmp_path / "resumed"
    scores = train(averaging, Scenes(), Scenes(), whole, device="cpu", console=quiet)
    reference = tmp_path / "reference"
    train(recipe("steps=4", "save_every=2"), Scenes(), Scenes(), reference, device="cpu", console=quiet)
    # averaging does not change the training
    assert_same_rows(whole / "log.csv", reference / "log.csv")
    assert rows(whole / "validation.csv") != rows(reference / "validation.csv")
    checkpoint = torch.load(whole / f"{LAST}.ckpt", weights_only=True)
    raw, average = checkpoint["current_model_state"], checkpoint["state_dict"]
    last = torch.load(reference / f"{LAST}.ckpt", weights_only=True)["state_dict"]
    assert_same_weights(last, raw)
    assert sum(not torch.equal(raw[name], average[name]) for name in raw) > len(raw) // 2
    assert any("running_mean" in name and not torch.equal(raw[name], average[name]) for name in raw)
    counted = [name for name in raw if name.endswith("num_batches_tracked")]
    assert counted and all(torch.equal(raw[name], average[name]) for name in counted)
    # the written weights are those that were scored
    task = averaging.task_options().build()
    load_strict(task.network, read_state(whole / "weights.safetensors"), where="weights")
    module = SceneModule(task, Optimization(), 1)
    module.network.eval()
    for index in range(2):
        batch = collate([task.prepare(scene(index), None)])
        with torch.inference_mode():
            module.scores.add(task.predict(batch)[0].numpy(), batch["target"][0].numpy())
    assert 100 * module.scores.mean_iou == pytest.approx(scores["validation"]["ssc_miou"], abs=1e-3)

    with pytest.raises(RuntimeError, match="power failure"):
        train(averaging, Scenes(5), None, resumed_out, device="cpu", console=quiet)
    train(averaging, Scenes(), None, resumed_out, device="cpu", resume=True, console=quiet)
    assert_same_rows(resumed_out / "log.csv", whole / "log.csv")
    resumed = torch.load(resumed_out / f"{LAST}.ckpt", weights_only=True)
    for key in ("state_dict", "current_model_state"):
        assert_same_weights(checkpoint[key], resumed[key])
    # without validation the last average is written, also by a resumed training
    for _ in range(2):
        written = read_state(resumed_out / "weights.safetensors")
        assert_same_weights(written, {name: average[f"network.{name}"] for name in written})
        train(averaging, Scenes(), None, resumed_out, device="cpu", resume=True, console=quiet)


def test_an_average_is_independent_of_its_initial_value() -> None:
    kept = ExponentialAverage(0.9, torch.device("cpu"))
    average = torch.zeros(1)
    for step in range(1, 200):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * average + (1 - decay) * step
        average = kept._averaged(average, torch.full((1,), float(step)), step)
        torch.testing.assert_close(average, expected)
    # steps lag behind by decay / (1 - decay)
    assert float(average) == pytest.approx(199 - 9, abs=0.1)
    assert int(kept._averaged(torch.tensor(3), torch.tensor(7), 5)) == 7


def test_two_data_sets_are_mixed_and_resumed(tmp_path: Path) -> None:
    once = recipe("steps=4", "save_every=2")
    quiet = Console(quiet=True)

    def mixed(fails_after: int | None = None) -> MixedScenes:
        return MixedScenes([Scenes(fails_after), Scenes()], [0.75, 0.25])

    train(once, mixed(), None, tmp_path / "whole", device="cpu", console=quiet)
    with pytest.raises(RuntimeError, match="power failure"):
        train(once, mixed(4), None, tmp_path / "resumed", device="cpu", console=quiet)
    train(once, mixed(), None, tmp_path / "resumed", device="cpu", resume=True, console=quiet)
    assert_same_rows(tmp_path / "resumed" / "log.csv", tmp_path / "whole" / "log.csv")


def test_a_training_with_an_older_recipe_can_be_resumed(trained: Path, tmp_path: Path) -> None:
    for name in ("last.ckpt", "log.csv"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    once = recipe("epochs=12", "save_every=4")
    lines = (trained / "recipe.yaml").read_text().splitlines()
    # keys that this version added are missing
    older = [line for line in lines if not line.strip().startswith(("steps:", "average:", "encoder_factor:"))]
    assert len(older) == len(lines) - 3
    (tmp_path / "recipe.yaml").write_text("\n".join(older))
    assert train(once, Scenes(), None, tmp_path, device="cpu", resume=True, console=Console(quiet=True))["steps"] == 12


def test_the_encoder_can_have_a_smaller_learning_rate() -> None:
    task = recipe().task_options().build()
    own = Optimization(learning_rate=1e-3, encoder_factor=0.1, betas=(0.9, 0.99), weight_decay=0.01)
    configured: Any = SceneModule(task, own, 10).configure_optimizers()
    groups = configured["optimizer"].param_groups
    encoder = dict(task.network.named_parameters())["net_rgb.encoder.original_model.conv_stem.weight"]
    assert [group["lr"] for group in groups] == pytest.approx([1e-3, 1e-4])
    assert all(group["betas"] == (0.9, 0.99) and group["weight_decay"] == 0.01 for group in groups)
    assert any(p is encoder for p in groups[1]["params"]) and not any(p is encoder for p in groups[0]["params"])
    assert sum(len(g["params"]) for g in groups) == sum(p.requires_grad for p in task.network.parameters())
    task.network.net_rgb.encoder.requires_grad_(False)  # type: ignore[union-attr]
    with pytest.raises(RecipeError, match="no 2-D encoder is trained"):
        SceneModule(task, own, 10).configure_optimizers()


def test_training_works_in_half_precision_and_with_workers(tmp_path: Path) -> None:
    once = recipe("epochs=1", "precision=bfloat16", "workers=1", "validation_scenes=1")
    console = Console(record=True, file=(tmp_path / "console").open("w"))
    scores = train(once, Scenes(), Scenes(), tmp_path / "out", device="cpu", console=console)
    assert scores["validation"]["scenes"] == 1
    assert "step 1/1  loss" in console.export_text()
    state = network_state(tmp_path / "out" / f"{LAST}.ckpt")
    assert all(tensor.dtype != torch.bfloat16 for tensor in state.values())


def test_training_starts_from_given_weights(trained: Path, tmp_path: Path) -> None:
    weights = trained / "weights.safetensors"
    fresh = recipe().task_options().build().network
    load_initial(fresh, weights, None)
    state = read_state(weights)
    assert all(torch.equal(fresh.state_dict()[name], state[name]) for name in state)
    prefix = "net_rgb.encoder.original_model."
    backbone = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    torch.save({**backbone, "classifier.weight": torch.ones(2)}, tmp_path / "backbone.pth")
    other = recipe().task_options().build().network
    load_initial(other, None, tmp_path / "backbone.pth")
    assert torch.equal(other.state_dict()[f"{prefix}conv_stem.weight"], backbone["conv_stem.weight"])
    torch.save({f"image_network.encoder.{n}": t + 1 for n, t in backbone.items()}, tmp_path / "network.pth")
    load_initial(other, None, tmp_path / "network.pth")
    assert torch.equal(other.state_dict()[f"{prefix}conv_stem.weight"], backbone["conv_stem.weight"] + 1)
    torch.save({"conv_stem.weight": torch.ones(2)}, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match="backbone"):
        load_initial(other, None, tmp_path / "wrong.pth")


def test_losses_that_are_not_finite_stop_the_training(tmp_path: Path) -> None:
    task = OccDepthTask(recipe().task_options().build().config)  # type: ignore[attr-defined]
    with torch.no_grad():
        next(task.network.parameters()).fill_(float("nan"))
    module = SceneModule(task, Optimization(), 1)
    batch = collate([PreparedScenes(Scenes(), task, None)[0, 1]])
    with (
        pytest.warns(UserWarning, match="computed again"),
        pytest.raises(TrainingError, match="scene 000001: the loss is not finite"),
    ):
        module.training_step(batch, 0)


def test_a_loss_that_is_not_finite_once_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    task = recipe().task_options().build()
    module = SceneModule(task, Optimization(), 1)
    batch = collate([PreparedScenes(Scenes(), task, None)[0, 1]])
    reference = float(task.losses(batch)["frustum"].detach())
    state = {name: value.clone() for name, value in task.network.state_dict().items()}
    losses = task.losses
    calls = []

    def failing(given: Batch) -> dict[str, torch.Tensor]:
        terms = losses(given)
        calls.append(given)
        if len(calls) == 1:
            with torch.no_grad():
                next(task.network.buffers()).fill_(float("nan"))
            terms["frustum"] = terms["frustum"] * float("nan")
        return terms

    monkeypatch.setattr(task, "losses", failing)
    with pytest.warns(UserWarning, match="scene 000001: the loss was not finite"):
        total = module.training_step(batch, 0)
    assert total.isfinite()
    assert float(module.terms["frustum"]) == pytest.approx(reference, rel=1e-4)
    once = task.network.state_dict()
    task.network.load_state_dict(state)
    losses(batch)
    # statistics of two separate forward passes: equal up to rounding, twice the momentum if the step had counted twice
    for name, value in task.network.state_dict().items():
        torch.testing.assert_close(once[name], value, rtol=1e-4, atol=1e-6)


def test_parameters_without_gradient_are_named() -> None:
    task = recipe().task_options().build()
    module = SceneModule(task, Optimization(), 1)
    with pytest.raises(TrainingError, match="parameters get no gradient"):
        module.on_after_backward()


def test_plans_consist_of_whole_rounds() -> None:
    plan = Plan.of(recipe("epochs=30", "scenes_per_step=4", "save_every=250"), 3834, 2)
    assert plan.accumulate == 2
    assert plan.steps >= 30 * 3834 / 4
    assert plan.steps - 30 * 3834 / 4 < plan.rounds
    assert plan.rounds == 115
    assert Plan.of(recipe("steps=700", "save_every=250"), 3834, 1).steps == 702
    with pytest.raises(RecipeError, match="3 devices"):
        Plan.of(recipe("scenes_per_step=4"), 8, 3)
    with pytest.raises(TrainingError, match="empty"):
        Plan.of(recipe(), 0, 1)


def test_float16_on_a_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="float16"):
        train(recipe("precision=float16"), Scenes(), None, tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("steps", [1, 1, 0.4, 0.16, 0.16]), ("constant", [1, 1, 1, 1, 1]), ("cosine", [1, 0.7, 0.607295, 0.46, 0.4])],
)
def test_schedules(schedule: str, expected: list[float]) -> None:
    own = Optimization(schedule=schedule)  # type: ignore[arg-type]
    assert [own.factor(step, 100) for step in (0, 50, 60, 80, 100)] == pytest.approx(expected, abs=0.06)
    warm = Optimization(schedule="constant", warmup=0.1)
    assert [warm.factor(step, 100) for step in (0, 4, 9, 50)] == pytest.approx([0.1, 0.5, 1, 1])
    longer = Optimization(schedule="constant", warmup=0.1, warmup_steps=20)
    assert [longer.factor(step, 100) for step in (0, 9, 19, 50)] == pytest.approx([0.05, 0.5, 1, 1])
    assert np.all(np.diff([own.factor(step, 100) for step in range(100)]) <= 0)
