"""Plans: stages in an order that works, placeholders, resuming, pooled scores of the folds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from occdepth_ros import cli
from occdepth_ros.checkpoints.packing import LICENCES
from occdepth_ros.commands.reproduce import pooled
from occdepth_ros.errors import RecipeError
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.evaluation.report import headline, rows_of
from occdepth_ros.training.config import read_recipe
from occdepth_ros.training.plan import FINAL, plan_names, read_plan

NAME = "occdepth-edge-kitti"
DATA = {name: Path(f"/data/{name}") for name in ("cityscapes", "street_real", "kitti")}


def test_every_step_finds_the_results_that_it_names() -> None:
    plan = read_plan(NAME)
    done: set[str] = set()
    out = Path("/out")
    steps = list(plan.steps(DATA, out, [*plan.folds, FINAL]))
    for step in steps:
        used = {word.rpartition("=")[2] for word in step.words if word.rpartition("=")[2].startswith("/out/")}
        results = {path for path in used if path.endswith(".safetensors") and not path.startswith(str(step.folder))}
        assert results <= done, step
        done.add(str(step.result))
    assert len(done) == len(steps) == 2 + 3 * 4 + 1 * 3


def test_folds_leave_out_their_places_and_the_drive_of_such_a_place() -> None:
    plan = read_plan(NAME)
    steps = {(step.run, step.stage.name): " ".join(step.words) for step in plan.steps(DATA, Path("/o"), ["B", FINAL])}
    assert "--sequences 01 02 03 05 06 07 10 --labels" in steps["B", "voxels"]
    assert "seq_04_long" not in steps["B", "voxels"] and "seq_04_long" in steps[FINAL, "voxels"]
    assert "--sequences 00 04 09 --labels recon10" in steps["B", "scores"] and (FINAL, "scores") not in steps
    assert "--fold /o/B/voxels/weights.safetensors 00 04 09 --root" in steps[FINAL, "calibrated"]


@pytest.mark.parametrize("model", list(LICENCES))
def test_all_shipped_weights_have_a_plan_whose_last_weights_are_theirs(model: str) -> None:
    steps = list(read_plan(model).steps(DATA, Path("/o"), [FINAL]))
    trained = [step for step in steps if step.words[0] == "train"]
    recipe = read_recipe(trained[-1].words[trained[-1].words.index("--recipe") + 1])
    preset = [word.rpartition("=")[2] for word in trained[-1].words if word.startswith("task.preset=")]
    assert (preset or [recipe.task_options().model]) == [model]


@pytest.mark.parametrize(("name", "run"), [(NAME, "A"), *((name, FINAL) for name in plan_names())])
def test_recipes_and_verbs_of_the_plan_exist(name: str, run: str) -> None:
    for step in read_plan(name).steps(DATA, Path("/o"), [run]):
        assert step.words[0] in cli.VERBS
        parsed = cli.build_parser(step.words[0]).parse_args(step.words)
        if step.words[0] == "train":
            assert read_recipe(parsed.recipe, parsed.set).steps > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: []\nfolds: {}", "has the keys data, folds, stages"),
        ("data: []\nfolds: {A: [1], B: [1]}\nstages: []", "in two folds"),
        ("data: []\nfolds: {A: [1]}\nstages: [{name: a, command: 'eval {nothing}'}]", "placeholder in '{nothing}'"),
        ("data: [x]\nfolds: {A: [1]}\nstages: [{name: a, command: eval}]", "folder of x is not given"),
    ],
)
def test_invalid_plans_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        list(read_plan(str(path)).steps({}, tmp_path, ["A"]))
    assert message in str(error.value)


def test_finished_stages_are_not_repeated_and_a_failed_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, out = tmp_path / "plan.yaml", tmp_path / "out"
    plan.write_text(
        "data: []\nfolds: {A: ['00'], B: ['01']}\nstages:\n"
        "  - {name: scenes, shared: true, result: train-3-000000.npz,\n"
        "     command: 'synthetic --count 1 --seed 3 --size 96 64 --out {out}'}\n"
        "  - {name: check, command: 'synthetic --count 0 --out {out}'}\n"
    )
    call = ["reproduce", str(plan), "--out", str(out)]
    assert cli.main([*call, "--list"]) == 0 and not out.exists()
    assert capsys.readouterr().out.count("occdepth synthetic") == 4
    for _ in range(2):
        assert cli.main(call) == 2
        assert "A, check: the stage ended with exit code 2" in " ".join(capsys.readouterr().err.split())
    scene = out / "shared" / "scenes" / "train-3-000000.npz"
    assert scene.is_file() and not (out / "B").exists()


def test_scores_of_the_folds_are_pooled_by_voxels(tmp_path: Path) -> None:
    paths, total = [], CompletionScores()
    for at, name in enumerate(("00", "01")):
        scores = CompletionScores()
        scores.confusion[9, 9], scores.confusion[9, 0] = 30 + 40 * at, 10
        total.confusion += scores.confusion
        values = {"frames": 2, **headline(scores), "confusion": rows_of(scores)}
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps({"by_sequence": {name: values}}))
    report = pooled(paths)
    assert report["sc_iou"] == pytest.approx(100 * total.iou, abs=1e-3) == pytest.approx(100 * 100 / 120, abs=1e-3)
    assert report["places"]["mean"]["sc_iou"] == pytest.approx(np.mean([75, 87.5]), abs=1e-3)
    assert report["frames"] == 4 and list(report["by_place"]) == ["00", "01"]
