"""The package as a whole: linters, manifests, licence, and the files that colcon installs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import occdepth_ros

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "occdepth_ros"
ROS_FOLDERS = (PACKAGE / "nodes", PACKAGE / "demo")
ROS_MODULES = re.compile(
    r"(rclpy|launch|launch_ros|tf2_ros|tf2_py|sensor_msgs_py|diagnostic_updater|"
    r"ament_index_python|builtin_interfaces|rcl_interfaces|std_srvs|\w+_msgs)(\.|$)"
)
PROVIDERS = {"tf2_ros": "tf2_ros_py", "ament_index_python": "ament_index_python"}
TEXTS = {".py", ".md", ".xml", ".txt", ".toml", ".yaml", ".yml", ".rviz", ".msg", ".srv", ".sh", ".in", ".action", ""}


def tracked_files() -> list[Path]:
    """Return the files tracked by git; without git, all files that are not generated."""
    if shutil.which("git"):
        command = ["git", "ls-files", "-z"]
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
        if listing:
            return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]
    generated = {"build", "install", "log", "out", "dist", "__pycache__", ".git"}
    own = (p for p in ROOT.rglob("*") if not generated & set(p.relative_to(ROOT).parts))
    return [p for p in own if p.is_file() and not any(part.startswith(".") for part in p.relative_to(ROOT).parts[:-1])]


def imports_of(path: Path) -> Iterator[str]:
    """Names of all modules that a file imports, including imports inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def ros_imports(path: Path) -> set[str]:
    """Top-level ROS packages that a file imports."""
    return {name.split(".")[0] for name in imports_of(path) if ROS_MODULES.match(name)}


def dependencies(manifest: ElementTree.Element) -> set[str]:
    """All packages that a package.xml depends on."""
    return {str(tag.text).strip() for tag in manifest if tag.tag.endswith("depend")}


@pytest.fixture(scope="module")
def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_linters_find_nothing(command: str) -> None:
    pytest.importorskip(command.split()[0], reason=f"{command.split()[0]} is not installed here")
    if command == "mypy" and np.lib.NumpyVersion(np.__version__) < "2.4.0":
        pytest.skip(f"the annotations of numpy {np.__version__} differ from those of 2.4, which mypy is run with")
    env = os.environ | {"NO_COLOR": "1"}
    answer = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False, env=env
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}{answer.stderr}"


def test_manifest_is_format_3_for_ament_cmake_with_messages(manifest: ElementTree.Element) -> None:
    assert manifest.get("format") == "3"
    assert manifest.findtext("name") == "occdepth_ros"
    assert manifest.findtext("version") == occdepth_ros.__version__
    assert manifest.findtext("export/build_type") == "ament_cmake"
    assert manifest.findtext("member_of_group") == "rosidl_interface_packages"
    order = [tag.tag for tag in manifest]
    assert order[:2] == ["name", "version"]
    for required in ("description", "maintainer", "license"):
        assert (manifest.findtext(required) or "").strip(), required


def test_manifest_names_exactly_the_ros_packages_that_are_imported(manifest: ElementTree.Element) -> None:
    used = {
        PROVIDERS.get(name, name)
        for folder in ROS_FOLDERS
        for path in folder.rglob("*.py")
        for name in ros_imports(path)
    }
    used |= {name for path in (ROOT / "launch").glob("*.py") for name in ros_imports(path)}
    message_packages = {
        word.split("/")[0]
        for path in (ROOT / "msg").glob("*.msg")
        for word in re.findall(r"\w+_msgs/\w+", path.read_text())
    }
    declared = dependencies(manifest)
    assert (used | message_packages) - {"occdepth_ros"} <= declared
    # the other dependencies are not imported: build tools, runtimes, programs and packages from PyPI
    tools = {
        name for name in declared if re.match(r"(ament_cmake.*|rosidl_.*|rviz.*|octomap_rviz_plugins|python3-.*)", name)
    }
    assert declared - tools == (used | message_packages) - {"occdepth_ros"}


LIBRARIES = {
    "jazzy": ["numpy", "opencv", "pil", "rich", "yaml", "pip", "galois-pip", "pytorch-pip"],
    "lyrical": ["numpy", "opencv", "pil", "rich", "yaml", "numba", "torch"],
}
"""Keys of rosdep by ROS distribution: Ubuntu 24.04 has neither numba nor PyTorch, and pip needs NumPy before them."""
LIBRARIES |= {"kilted": LIBRARIES["jazzy"], "rolling": LIBRARIES["lyrical"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("distribution", LIBRARIES)
def test_rosdep_alone_installs_every_library_of_the_package(distribution: str) -> None:
    catkin = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg is not installed: run make env")
    package = catkin.parse_package(str(ROOT / "package.xml"))
    package.evaluate_conditions({"ROS_DISTRO": distribution})
    names = [dependency.name for dependency in package.exec_depends if dependency.evaluated_condition]
    found = [name.removeprefix("python3-") for name in names if name.startswith("python3-")]
    assert found == LIBRARIES[distribution]
    # what pip asks for is what these keys install; galois requires numba
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = re.search(r"(?m)^dependencies = \[(.*?)^\]", project, re.DOTALL)
    assert required is not None
    packages = {name.lower() for name in re.findall(r'"([A-Za-z-]+)>=', required[1])}
    keys = {"opencv": "opencv-python-headless", "pil": "pillow", "yaml": "pyyaml"}
    keys |= {"galois-pip": "numba", "pytorch-pip": "torch"}
    assert packages == {keys.get(name, name) for name in found if name != "pip"}


def test_the_readme_has_one_command_of_installation_and_no_pip_line() -> None:
    text = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .partition("## In your ROS 2 workspace")[2]
        .partition("\n## ")[0]
    )
    # rosdep refuses to call pip on Ubuntu 24.04 without this variable
    assert "PIP_BREAK_SYSTEM_PACKAGES=1 rosdep install --from-paths src --ignore-src -y\n" in text
    assert "pip install" not in text


def test_every_message_is_built(manifest: ElementTree.Element) -> None:
    recipe = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    listed = re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', recipe)
    present = [str(p.relative_to(ROOT)) for kind in ("msg", "srv", "action") for p in (ROOT / kind).glob(f"*.{kind}")]
    assert sorted(listed) == sorted(present)


def test_every_node_program_has_its_module() -> None:
    recipe = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(r"foreach\(node ([\w ]+)\)", recipe)
    assert found is not None
    for node in found[1].split():
        module = ast.parse((PACKAGE / "nodes" / node / "node.py").read_text(encoding="utf-8"))
        names = {statement.name for statement in module.body if isinstance(statement, ast.FunctionDef)}
        assert "main" in names, node


def test_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_no_file_contains_a_path_of_one_machine() -> None:
    places = re.compile(r"(?<![\w.$}])/(work|root|tmp|home)/\w")
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked_files()
        if path.suffix in TEXTS and "test" not in path.parts and path.name != "LICENSE"
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if places.search(line)
    ]
    assert hits == []


def test_colcon_installs_every_module_and_data_file() -> None:
    generated = [Path(folder) for folder in occdepth_ros.__path__ if "install" in Path(folder).parts]
    if not generated:
        pytest.skip("occdepth_ros comes from its sources alone here; `make env` builds it")
    installed = generated[0]
    expected = {p.relative_to(PACKAGE) for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {path for path in expected if not (installed / path).exists()} == set()
    prefix = next(parent for parent in installed.parents if (parent / "share" / "occdepth_ros").is_dir())
    for program in ("stereo_occ", "replay", "occdepth"):
        assert os.access(prefix / "lib" / "occdepth_ros" / program, os.X_OK)
    for path in (prefix / "bin" / "occdepth", prefix / "lib" / "occdepth_ros" / "occdepth"):
        answer = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)
        assert answer.returncode == 0 and "doctor" in answer.stdout, answer.stderr
    for folder in ("launch", "config"):
        for path in (ROOT / folder).iterdir():
            if path.is_file():
                assert (prefix / "share" / "occdepth_ros" / folder / path.name).exists(), path
