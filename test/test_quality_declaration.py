"""Claims of QUALITY_DECLARATION.md that can be checked against the repository."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import occdepth_ros

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "QUALITY_DECLARATION.md").read_text(encoding="utf-8")
KEYS = {"pil": "pillow", "yaml": "pyyaml", "torch": "pytorch"}
"""Names of rosdep keys that differ from the names of the packages."""


def justified() -> set[str]:
    """Names in the first column of the table of dependencies, in lower case."""
    table = TEXT.partition("## Dependencies outside ROS")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    return {name.strip().lower() for row in rows for name in row.split(",")}


def test_every_python_dependency_is_justified() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.")[0]
    declared = set(
        re.findall(
            r'"([A-Za-z][\w-]*?)(?:\[\w+\])?(?:[><=]=?[\d.]+)?"[,\]\n]', project.partition("dependencies = [")[2]
        )
    )
    names = {name.lower().replace("opencv-python-headless", "opencv").replace("torch", "pytorch") for name in declared}
    names = {name.replace("pytorchvision", "torchvision").replace("-pypytorch-", "-pytorch-") for name in names}
    assert {"numpy", "pytorch", "ray"} <= names
    assert names <= justified(), names - justified()


def test_every_python_key_of_the_package_is_justified() -> None:
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    keys = {element.text or "" for element in root.iter("exec_depend")}
    names = {key.removeprefix("python3-").removesuffix("-pip") for key in keys if key.startswith("python3-")}
    names = {KEYS.get(name, name) for name in names}
    assert len(names) > 5 and names <= justified(), names - justified()


def test_named_files_exist() -> None:
    for name in re.findall(r"`((?:test|benchmarks|tools)/[\w./]+)`", TEXT):
        if name != "tools/coverage_ratchet.txt":
            assert (ROOT / name).exists(), name


def test_no_level_is_claimed_below_version_1_and_none_without_a_measured_coverage() -> None:
    major = int(occdepth_ros.__version__.partition(".")[0])
    ratchet = ROOT / "tools" / "coverage_ratchet.txt"
    coverage = float(ratchet.read_text(encoding="utf-8")) if ratchet.is_file() else 0.0
    if major < 1 or coverage < 90:
        assert "claims no level" in TEXT
    assert ("| 4.iii coverage | met |" in TEXT) == (coverage >= 90)
