"""`occdepth train` and `occdepth depth` on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.sequences import labelled_scans

from occdepth_ros.cli import main
from occdepth_ros.commands.options.scenes import open_share, scan_options
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.factory import open_dataset
from occdepth_ros.data.scans.completion import RECON10
from occdepth_ros.errors import SourceError

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ["--recipe", "tiny", "--set", "task.network.grid.size=[32,32,16]", "--set", "task.network.image=[32,96]"]
CPU = ["--device", "cpu"]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    assert main(["synthetic", "--count", "2", "--out", str(out), "--size", "310", "94"]) == 0
    return out


def test_training_on_synthetic_scenes_can_be_resumed(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--dataset", "synthetic", "--root", str(street), "--val-sequences", "train"]
    out = ["--out", str(tmp_path / "out"), "--set", "teacher=sgm", "--set", "epochs=2", "--set", "save_every=1"]
    call = ["train", *TINY, *CPU, *data, *out]
    assert main(call) == 0
    assert "step 2/2  loss" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("best.ckpt", "cache", "last.ckpt", "log.csv", "recipe.yaml", "scores.json", "validation.csv"),
        "weights.safetensors",
    }
    maps = list((tmp_path / "out" / "cache" / "depth_sgm" / "synthetic").glob("*.png"))
    assert len(maps) == 2
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["validation"]["scenes"] == 2
    assert main(call) == 2
    assert "--resume" in capsys.readouterr().err
    # a finished training runs no further steps
    assert main([*call, "--resume"]) == 0
    with (tmp_path / "out" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2"]


def test_training_on_two_data_sets(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = [
        "--dataset",
        "synthetic",
        "--root",
        str(street),
        "--and",
        "0.25",
        "synthetic",
        f"root={street}",
        "sequences=train",
    ]
    out = ["--out", str(tmp_path / "out"), "--set", "teacher=sgm", "--set", "steps=2", "--set", "save_every=1"]
    assert main(["train", *TINY, *CPU, *data, *out]) == 0
    assert "on 4 scenes: 2 steps" in capsys.readouterr().err


def test_training_on_labels_from_scans(tmp_path: Path) -> None:
    labelled_scans(tmp_path / "sequences" / "04")
    scans = scan_options("recon10", 1, 2)
    assert scans is not None and scans.rule == RECON10 and scan_options(None, None, None) is None
    opened = open_dataset("semantic_kitti", tmp_path, ["04"], labels="scans", scans=scans)
    assert len(opened) == 4
    words = ["0.5", "semantic_kitti", f"root={tmp_path}", "sequences=04", "labels=scans", "rule=recon10", "later=2"]
    share = open_share(words)
    assert (share.share, share.dataset, len(share.scenes)) == (0.5, "semantic_kitti", 1)
    with pytest.raises(SourceError, match="not made from scans"):
        open_dataset("semantic_kitti", tmp_path, ["04"], labels="recon10", scans=scans)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["synthetic"], "'synthetic' is not a share"),
        (["1.5", "synthetic"], "a share of 1.5 is not between"),
        (["nan", "synthetic"], "is not between"),
        (["0.5"], "the name of the data set is missing"),
        (["0.5", "town"], "unknown data set 'town'"),
        (["0.5", "synthetic", "train:0:2"], "'train:0:2' is not KEY=VALUE"),
        (["0.5", "synthetic", "split=train"], "'split=train' is not KEY=VALUE"),
        (["0.5", "semantic_kitti", "later=x"], "whole numbers"),
        (["0.5", "semantic_kitti", "rule=all"], "there is no rule 'all'"),
        (["0.5", "semantic_kitti", "variants=0"], "variants"),
        (["0.5", "semantic_kitti", "rule=recon10"], "are not made from scans"),
    ],
)
def test_errors_in_a_mixture_are_named(words: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_share(words)


def test_depth_maps_can_be_computed_in_advance(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["depth", "--dataset", "synthetic", "--root", str(street), "--out", str(tmp_path)]) == 0
    assert "2 maps in" in capsys.readouterr().out
    assert len(list((tmp_path / "depth_sgm" / "synthetic").glob("train-0-*.png"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "none", "--dataset", "synthetic"], "there is no recipe 'none'"),
        (["--recipe", "tiny", "--set", "epoch=1", "--dataset", "synthetic"], "Did you mean epochs?"),
        (["--recipe", "tiny", "--dataset", "synthetic"], "train:0:500"),
        (["--recipe", "tiny", "--dataset", "semantic_kitti"], "needs a root folder"),
        (
            ["--recipe", "tiny", "--dataset", "synthetic", "--sequences", "train:0:1"]
            + ["--and", "0.5", "synthetic", "sequences=train:1:1"] * 2,
            "no share is left for synthetic",
        ),
        (["--recipe", "tiny", "--dataset", "semantic_kitti", "--root", "nowhere"], "nowhere"),
        (["--recipe", "tiny", "--dataset", "synthetic", "--sequences", "train:0:1", "--weights", "no.pt"], "no.pt"),
    ],
)
def test_user_errors_are_printed_as_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments, *CPU, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert message in printed[-1]
    assert not (tmp_path / "out" / "recipe.yaml").exists()


def test_the_factory_opens_every_listed_data_set(street: Path, kitti_mini: Path) -> None:
    generated = open_dataset("synthetic", sequences=["train:0:2"])
    assert isinstance(generated, SceneDataset)
    assert len(generated) == len(open_dataset("synthetic", street)) == 2
    labelled = open_dataset("semantic_kitti", kitti_mini, ["00"], labels="recon10")
    assert isinstance(labelled, SceneDataset)
    assert labelled[0].name.startswith("00/")


@pytest.mark.parametrize(
    "sequences", [["train"], ["none:0:2"], ["train:x:2"], ["train:0:0"], ["train:0:1", "test:0:1"]]
)
def test_invalid_synthetic_requests_are_refused(sequences: list[str]) -> None:
    with pytest.raises(SourceError, match="sequences"):
        open_dataset("synthetic", sequences=sequences)
    with pytest.raises(SourceError, match="semantic_kitti"):
        open_dataset("kitti")
