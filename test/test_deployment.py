"""Container files and the system service: what they refer to exists, and versions fit the package."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = [ROOT / "docker" / "Dockerfile", ROOT / "docker" / "Dockerfile.jetson"]
PUBLIC = re.compile(r"^(ros:[\w.-]+|nvcr\.io/nvidia/[\w/.-]+:[\w.-]+)$")


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def dockerfile(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_the_base_image_is_public_and_has_a_version(dockerfile: Path) -> None:
    found = dict(reversed(instructions(dockerfile)))
    base = found["ARG"].removeprefix("BASE=") if "${BASE}" in found["FROM"] else found["FROM"]
    assert PUBLIC.match(base) and not base.endswith(":latest")


def test_copied_files_exist(dockerfile: Path) -> None:
    copies = [arguments.split() for name, arguments in instructions(dockerfile) if name == "COPY"]
    assert copies
    for source, _ in copies:
        assert (ROOT / source).exists(), source


def test_skipped_keys_are_dependencies_of_the_package(dockerfile: Path) -> None:
    keys = {element.text for element in ElementTree.parse(ROOT / "package.xml").getroot() if element.text}
    text = " ".join(arguments for name, arguments in instructions(dockerfile) if name == "RUN")
    skipped = " ".join(re.findall(r'--skip-keys "([^"]+)"', text)).split()
    assert "rviz2" in skipped
    assert set(skipped) <= keys


def version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def test_installed_versions_satisfy_the_package_and_cover_the_skipped_keys() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    least = dict(re.findall(r'"([A-Za-z-]+)>=([\d.]+)"', project))
    pinned = dict(re.findall(r"(?m)^([a-z-]+)==([\d.]+)$", (ROOT / "docker" / "requirements.txt").read_text("utf-8")))
    pinned |= dict(re.findall(r"(torch|torchvision)==([\d.]+)", DOCKERFILES[0].read_text(encoding="utf-8")))
    assert {"torch", "torchvision", "timm", "rosbags", "numba", "numpy"} == set(pinned)
    for name, number in pinned.items():
        assert version(number) >= version(least[name]), name
    tested = (ROOT / "tools" / "env" / "requirements.txt").read_text(encoding="utf-8")
    for name in ("torch", "torchvision", "timm", "rosbags"):
        assert f"{name}=={pinned[name]}" in tested, f"{name}: the container has another version than the tests"


def test_constraints_of_the_base_image_do_not_apply_to_the_pinned_packages() -> None:
    text = " ".join(arguments for name, arguments in instructions(DOCKERFILES[1]) if name == "RUN")
    assert re.findall(r"(\S+) /opt/venv/bin/pip install", text) == ['PIP_CONSTRAINT=""']


def test_commands_start_an_existing_launch_file_and_module(dockerfile: Path) -> None:
    found = instructions(dockerfile)
    command = dict(found)["CMD"]
    launch = re.search(r'"ros2", "launch", "occdepth_ros", "([\w.]+)"', command)
    assert launch and (ROOT / "launch" / launch[1]).is_file()
    for module in re.findall(r"-m (occdepth_ros[\w.]+)", " ".join(arguments for _, arguments in found)):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    assert (ROOT / "docker" / "entrypoint.sh").stat().st_mode & 0o111


def test_build_outputs_do_not_enter_the_container() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "build", "install", "log", "out"} <= set(ignored)


def test_hadolint_has_no_finding(dockerfile: Path) -> None:
    hadolint = shutil.which("hadolint") or shutil.which(str(ROOT / ".venv" / "security" / "bin" / "hadolint"))
    if hadolint is None:
        pytest.skip("hadolint is not installed; `make lint` installs and runs it")
    done = subprocess.run([hadolint, str(dockerfile)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


class _Unit(configparser.RawConfigParser):
    """A unit of systemd; keys keep their case."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def test_the_service_starts_the_node_stops_it_with_sigint_and_restarts_it() -> None:
    unit = _Unit(strict=False, interpolation=None)
    unit.read_string((ROOT / "docker" / "occdepth.service").read_text(encoding="utf-8"))
    service = unit["Service"]
    assert service["KillSignal"] == "SIGINT" and service["Restart"] == "on-failure"
    launch, arguments = re.search(r'ros2 launch occdepth_ros ([\w.]+) "(.*)"', service["ExecStart"]).groups()  # type: ignore[union-attr]
    text = (ROOT / "launch" / launch).read_text(encoding="utf-8")
    assert arguments.partition(":=")[0] == "params_file" and '"params_file"' in text
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    variables = re.findall(r"\$([A-Z_]+)", service["ExecStart"])
    content = (ROOT / "docker" / "occdepth.service").read_text(encoding="utf-8")
    assert all(f"Environment={name}=" in content for name in variables)
    if analyze := shutil.which("systemd-analyze"):
        done = subprocess.run(
            [analyze, "verify", ROOT / "docker" / "occdepth.service"], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_no_file_names_a_host_of_a_build_machine() -> None:
    for path in (ROOT / "docker").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"index-url|localhost|127\.0\.0\.1|/opt/pypi|/work/", text), path.name
