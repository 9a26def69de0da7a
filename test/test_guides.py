"""Commands of the guides: all of them parse, and those that need no hardware run on the bundled sample."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from occdepth_ros import cli
from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import lattice_key
from occdepth_ros.sources.factory import SAMPLE_FOLDER, open_source

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXECUTED = ("own_camera.md", "calibration.md", "own_data.md", "recordings.md")
"""Pages whose commands are executed."""
NEEDS = {"--live": "a running system", "KITTI": "a data set", "ROOT": "a data set", "out/own": "the training before"}
"""Words of commands that cannot run on the sample, and what they need."""
USERS = ("README.md", "docs/own_camera.md", "docs/recordings.md", "docs/calibration.md", "docs/own_data.md")
"""Pages that a user reads who never opens the code."""
SHORT = {
    "run": ["--count", "1", "--model", "stereo-geometry"],
    "render": ["--count", "1", "--model", "stereo-geometry"],
    "convert": ["--count", "2"],
}
"""Options that make an executed command fast; the last value of an option counts."""
PLACEHOLDERS = ("PATH", "SEQUENCE", "/data/kitti/dataset/sequences/00")


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command in the code blocks of a page."""
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language not in ("", "bash"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:  # not a command line: a drawing or a table of files
                    continue
                if words:
                    yield words


ALL = [(page.name, words) for page in PAGES for words in commands(page)]
OCCDEPTH = [(page, words[1:]) for page, words in ALL if words[0].endswith("occdepth") and "..." not in words]
RUNNABLE = [
    (page, words) for page, words in OCCDEPTH if page in EXECUTED and not any(key in " ".join(words) for key in NEEDS)
]


def name_of(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


@pytest.mark.parametrize(("page", "words"), OCCDEPTH, ids=name_of)
def test_commands_of_occdepth_have_valid_options(page: str, words: list[str]) -> None:
    if len(words) > 1:
        cli.build_parser(words[0]).parse_args(words)


LAUNCHES = [c for c in ALL if c[1][:2] == ["ros2", "launch"]]


@pytest.mark.parametrize(("page", "words"), LAUNCHES, ids=name_of)
def test_launch_files_and_their_arguments_exist(page: str, words: list[str]) -> None:
    package, name, *arguments = words[2:]
    assert package == "occdepth_ros"
    text = (ROOT / "launch" / name).read_text(encoding="utf-8")
    text += (ROOT / "launch" / "stereo_occ.launch.py").read_text(encoding="utf-8")
    for argument in arguments:
        key = argument.partition(":=")[0]
        assert f'"{key}"' in text, key


@pytest.mark.parametrize(("page", "words"), [c for c in ALL if c[1][0] == "make"], ids=name_of)
def test_targets_of_make_and_their_variables_exist(page: str, words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words[1:]:
        key, equals, _ = word.partition("=")
        assert re.search(rf"\$\({key}\)" if equals else rf"(?m)^{key}:", makefile) or (key == "WEIGHTS"), word


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory of the commands, which use the results of earlier ones."""
    return tmp_path_factory.mktemp("guides")


@pytest.mark.parametrize(("page", "words"), RUNNABLE, ids=name_of)
def test_commands_of_the_guides_run_on_the_sample(
    page: str, words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[0] == "train":
        pytest.importorskip("lightning", reason="lightning is not installed: the extra train")
    monkeypatch.chdir(folder)
    given = [str(SAMPLE_FOLDER) if word in PLACEHOLDERS else word for word in words]
    assert cli.main([*given, *SHORT.get(words[0], [])]) == 0, capsys.readouterr().err
    outputs = [word for word in words[1:] if word.startswith("out/")]
    for output in outputs:
        assert (folder / output).exists(), output


def test_the_calibration_of_the_guide_opens_a_folder_of_images(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "recordings.md").read_text(encoding="utf-8")
    found = re.search(r"^```yaml\n(left:.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    (tmp_path / "calibration.yaml").write_text(found[1], encoding="utf-8")
    sample = open_source()
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        image = cv2.resize(getattr(sample[0], side), (1242, 375))
        cv2.imwrite(str(tmp_path / side / "000000.png"), image)
    source = open_source(tmp_path)
    assert source.rig.baseline == pytest.approx(0.533)
    assert source.grid_frame == "base_link"
    assert not source.description.warnings
    # the centre of the left camera in the grid's frame
    assert np.linalg.inv(source.rig.reference_from_grid)[:3, 3] == pytest.approx([0.0, 0.27, 1.65])


def test_the_parameter_file_of_the_guide_has_existing_parameters() -> None:
    text = (ROOT / "docs" / "own_camera.md").read_text(encoding="utf-8")
    found = re.search(r"^```yaml\n(/\*\*:\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    given, all_parameters = (
        yaml.safe_load(content)["/**"]["ros__parameters"]
        for content in (found[1], (ROOT / "config" / "stereo_occ.yaml").read_text(encoding="utf-8"))
    )
    assert given and {name: type(value) for name, value in given.items()} == {
        name: type(all_parameters[name]) for name in given
    }


def test_every_grid_of_the_guides_can_be_an_octomap() -> None:
    number = r"(-?[\d.]+)"
    form = re.compile(rf"(?:--grid-origin {number} {number} {number}|\[{number}, {number}, {number}\](?:    #|` if))")
    found = {
        tuple(float(value) for value in match.groups() if value is not None)
        for page in PAGES
        for match in form.finditer(page.read_text(encoding="utf-8"))
    }
    assert found
    for x, y, z in found:
        lattice_key(VoxelGrid((x, y, z), (256, 256, 32), 0.2, "base_link"))


def test_the_results_of_a_run_are_as_the_guide_describes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "--out", "out/run", "--count", "1", "--model", "stereo-geometry"]) == 0
    text = (ROOT / "docs" / "own_camera.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(snippet, found)
    assert len(found["centres"]) == len(found["classes"]) > 1000
    with np.load("out/run/000000.npz") as result:
        assert set(result) == {"labels", "confidence", "visibility", "origin", "resolution", "stamp_ns"}
        assert all(f"`{name}`" in text for name in result)
        low, high = result["origin"], result["origin"] + result["resolution"] * result["labels"].shape
        assert (found["centres"] > low).all() and (found["centres"] < high).all()
    for number, name in enumerate(SEMANTIC_KITTI.names):
        assert not number or f"{number} {name}" in " ".join(text.split())


@pytest.mark.parametrize("name", USERS, ids=str)
def test_guides_of_users_do_not_refer_to_the_code_for_a_format(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.findall(r"\(\.\./occdepth_ros/\S+\.py\)|`occdepth_ros/\S+\.py`", text)


def test_every_executed_guide_has_a_command_that_runs() -> None:
    assert {page for page, _ in RUNNABLE} == set(EXECUTED)
