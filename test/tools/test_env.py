"""`make env`: its steps, and the resulting `.venv`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools" / "env"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a module of tools/env, which is not a package."""
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location(f"occdepth_env_{name}", TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("steps", monkeypatch)


@pytest.fixture
def make_env(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("make_env", monkeypatch)


def test_a_failed_step_shows_its_output_and_the_remedy(
    steps: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = steps.Steps(tmp_path / "deep" / "log.txt")
    runner.run("saying yes", [sys.executable, "-c", "print('yes')"], os.environ)
    command = [sys.executable, "-c", "print('early'); raise OSError('No space left on device')"]
    with pytest.raises(steps.StepError) as caught:
        runner.run("filling the disk", command, os.environ)
    text = str(caught.value)
    assert "filling the disk" in text
    assert "OCCDEPTH_CACHE" in text
    assert str(tmp_path / "deep" / "log.txt") in text
    assert "yes" not in text
    assert "saying yes" in capsys.readouterr().out
    assert "yes" in (tmp_path / "deep" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("CERTIFICATE_VERIFY_FAILED ... Could not fetch URL ... No matching distribution found", "PIP_CERT"),
        ("Temporary failure in name resolution ... No matching distribution found", "no network"),
        ("ERROR: No matching distribution found for torch", "PYTHON="),
        ("something else", "resumes"),
    ],
)
def test_the_cause_of_a_failure_is_shown_first(steps: ModuleType, output: str, remedy: str) -> None:
    assert remedy in steps.explain("installing", output, Path("log.txt"))


def test_files_are_written_completely_or_not_at_all(steps: ModuleType, tmp_path: Path) -> None:
    steps.write_whole(tmp_path / "a" / "script", "#!/bin/sh\n", 0o755)
    assert os.access(tmp_path / "a" / "script", os.X_OK)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["script"]


def test_a_layer_without_stamp_or_with_other_inputs_is_rebuilt(make_env: ModuleType, tmp_path: Path) -> None:
    assert not make_env.is_complete(tmp_path, "k1")
    make_env.complete(tmp_path, "k1")
    assert make_env.is_complete(tmp_path, "k1")
    assert not make_env.is_complete(tmp_path, "k2")
    (tmp_path / make_env.STAMP).write_text("{")
    assert not make_env.is_complete(tmp_path, "k1")


def test_build_machine_paths_are_replaced(make_env: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "share" / "std_msgs" / "cmake" / "export.cmake"
    path.parent.mkdir(parents=True)
    site = "lib/python3.12/site-packages/numpy/_core/include"
    path.write_text(f'"/opt/python/cp312-cp312/include/python3.12;/opt/python/cp312-cp312/{site}"')
    make_env.repair_exports(tmp_path)
    include, numpy_include = path.read_text().strip('"').split(";")
    assert Path(include).name.startswith("python3")
    assert "/opt/python" not in include
    assert numpy_include == f"{tmp_path}/lib/{make_env.PYTHON}/site-packages/numpy/_core/include"


def test_a_sourced_ros_keeps_its_numpy_and_opencv(
    make_env: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OCCDEPTH_CACHE", str(tmp_path))
    own = make_env.Environment(ros="", absent=[])
    assert [path.name for path in make_env.wanted(own)] == ["requirements.txt", "requirements-ros.txt"]
    sourced = make_env.Environment(ros="jazzy", absent=[], kept={"numpy": "1.26.4", "opencv-python-headless": "4.6.0"})
    (path,) = make_env.wanted(sourced)
    lines = path.read_text().splitlines()
    assert [line for line in lines if line.startswith(("numpy", "opencv"))] == ["numpy==1.26.4"]
    assert any(line.startswith("torch==") for line in lines)
    assert not any(line.startswith("ros-") for line in lines)
    assert sourced.packages_key != own.packages_key


def test_a_sourced_ros_without_rclpy_is_refused(make_env: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/nowhere")
    monkeypatch.setattr(sys.modules["environment"], "QUESTION", "print('[[\"rclpy\"], {}]')")
    with pytest.raises(make_env.StepError, match="cannot import its rclpy"):
        make_env.detect()


def test_own_folders_come_first_in_a_path_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = load("checkout_hook", monkeypatch)
    monkeypatch.setenv("OCCDEPTH_TEST_PATH", "/x:/b::/a")
    assert hook.lead("OCCDEPTH_TEST_PATH", ["/a", "/b"])
    assert os.environ["OCCDEPTH_TEST_PATH"] == "/a:/b:/x"
    assert not hook.lead("OCCDEPTH_TEST_PATH", ["/a", "/b"])


def in_venv(code: str, cwd: Path, **variables: str) -> list[str]:
    """Run code in `.venv` with only `variables` set, and return the printed JSON list."""
    python = ROOT / ".venv" / "bin" / "python"
    if not (ROOT / ".venv" / "complete.json").is_file():
        pytest.skip("this checkout has no .venv; `make env` makes it")
    answer = subprocess.run([python, "-c", code], cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found: list[str] = json.loads(answer.stdout)
    return found


@pytest.mark.ros
def test_python_of_venv_finds_ros_and_this_checkout_from_any_directory(tmp_path: Path) -> None:
    code = (
        "import json, rclpy, octomap_msgs.msg, tf2_ros, occdepth_ros.grid; from occdepth_ros.msg import SemanticGrid;"
        "SemanticGrid(); print(json.dumps([occdepth_ros.grid.__file__]))"
    )
    sourced = {k: v for k, v in os.environ.items() if k in ("PYTHONPATH", "ROS_DISTRO")}
    for cwd in (tmp_path, ROOT, ROOT / "occdepth_ros"):
        assert in_venv(code, cwd, **sourced) == [str(ROOT / "occdepth_ros" / "grid.py")]


@pytest.mark.ros
def test_another_checkouts_variables_come_second(tmp_path: Path) -> None:
    code = (
        "import json, os, subprocess, sys;"
        "child = 'import os; print(os.environ[\"LD_LIBRARY_PATH\"])';"
        "out = subprocess.run([sys.executable, '-c', child], capture_output=True, text=True).stdout.strip();"
        "print(json.dumps([os.environ['AMENT_PREFIX_PATH'], os.environ['LD_LIBRARY_PATH'], out]))"
    )
    ament, libraries, inherited = in_venv(code, tmp_path, AMENT_PREFIX_PATH="/other", LD_LIBRARY_PATH="/other/lib")
    own = str(ROOT / "install" / "occdepth_ros")
    assert ament.split(":")[0] == own
    assert ament.split(":")[-1] == "/other"
    assert libraries.split(":")[0] == f"{own}/lib"
    assert libraries.split(":")[-1] == "/other/lib"
    assert inherited == libraries
