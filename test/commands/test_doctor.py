"""The report of `occdepth doctor`."""

from __future__ import annotations

import json
import re
import sys
import sysconfig
from pathlib import Path

import pytest

from occdepth_ros.cli import main
from occdepth_ros.commands.doctor import machine
from occdepth_ros.commands.doctor.findings import Finding, State
from occdepth_ros.commands.doctor.machine import examine_libraries, examine_ros, probe, ros_finding
from occdepth_ros.errors import pip_install


def test_json_report_agrees_with_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    states = [finding["state"] for finding in report["findings"]]
    assert report["ok"] == ("missing" not in states) == (code == 0)
    topics = {finding["topic"] for finding in report["findings"]}
    assert {"Python", "disk", "torch", "GPU", "ROS 2", "stereo-geometry"} <= topics


def test_missing_library_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "LIBRARIES", {"occdepth_no_such_module": "no-such-distribution"})
    monkeypatch.setattr(machine, "examine_ros", lambda: iter(()))
    (finding,) = examine_libraries(probe(machine.LIBRARIES))
    assert finding.state is State.MISSING
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "occdepth_no_such_module" in text
    assert "pip install no-such-distribution" in text


def test_missing_optional_libraries_are_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine, "OPTIONAL", {"occdepth_no_such_module": ("no-such", "nothing"), "cv2": ("numpy", "arrays")}
    )
    absent, present = machine.examine_optional()
    assert (absent.state, absent.remedy) == (State.NOTE, pip_install("no-such"))
    assert "absent: nothing" in absent.text
    assert (present.state, present.remedy) == (State.OK, "")


def test_a_library_that_is_too_old_is_named_with_the_least_version() -> None:
    found: dict[str, dict[str, object]] = {name: {"version": "99.0"} for name in machine.LIBRARIES}
    found |= {"PIL": {"version": "9.4.0"}, "torch": {"version": "2.15.0+cu132"}}
    wrong = [finding for finding in examine_libraries(found) if finding.state is not State.OK]
    assert [finding.text for finding in wrong] == ["9.4.0 is older than 10.1"]
    assert "'pillow>=10.1'" in wrong[0].remedy


def test_the_least_versions_are_those_of_the_package() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    required = dict(
        re.findall(r'"([A-Za-z-]+)>=([\d.]+)"', project.partition("[project]")[2].partition("[project.optional")[0])
    )
    assert {machine.LIBRARIES[module]: version for module, version in machine.LEAST.items()} == required


def test_remedies_install_for_the_interpreter_that_lacks_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(sys, "executable", "/ws/.venv/bin/python")
    monkeypatch.setattr(sys, "prefix", "/ws/.venv")
    assert pip_install("edt") == "/ws/.venv/bin/python -m pip install edt"
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert pip_install("edt") == "pip install edt"
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    assert pip_install("edt") == "pip install --break-system-packages edt"


def test_every_ros_package_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {module: {"file": f"/opt/prefix/{module}/__init__.py"} for module in machine.ROS_PACKAGES}
    answer["rclpy"]["rmw"] = "rmw_fastrtps_cpp"
    monkeypatch.setattr(machine, "probe_ros", lambda: answer)
    topics = [finding.topic for finding in examine_ros()]
    assert [topic for topic in topics if topic in machine.ROS_PACKAGES.values()] == list(machine.ROS_PACKAGES.values())


def test_no_ros_is_a_note_but_a_broken_sourced_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = {module: {"error": "ModuleNotFoundError: no"} for module in machine.ROS_PACKAGES}
    monkeypatch.setattr(machine, "probe_ros", lambda: failure)
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    assert [finding.state for finding in examine_ros()] == [State.NOTE]
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    assert [finding.state for finding in examine_ros()] == [State.MISSING]


@pytest.mark.parametrize(
    ("found", "installed", "state", "remedy"),
    [
        ({"file": "/opt/ros/jazzy/lib/tf2_ros/__init__.py"}, True, State.OK, ""),
        ({"file": "/home/u/x/tools/pip_ros/tf2_ros/tf2_ros/__init__.py"}, False, State.OK, ""),
        ({"file": "/c/pip_ros-0a1b/lib/tf2_ros/__init__.py"}, True, State.NOTE, "ros-jazzy-tf2-ros"),
        ({"error": "ModuleNotFoundError: x"}, True, State.MISSING, "ros-jazzy-tf2-ros"),
        ({"error": "ModuleNotFoundError: x"}, False, State.MISSING, "make env"),
    ],
)
def test_real_stand_in_and_missing_packages_are_distinguished(
    found: dict[str, str], installed: bool, state: State, remedy: str
) -> None:
    finding = ros_finding("tf2_ros", found, "jazzy", installed=installed)
    assert isinstance(finding, Finding)
    assert finding.state is state
    assert remedy in finding.remedy
    assert bool(remedy) == bool(finding.remedy)
