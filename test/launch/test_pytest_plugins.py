"""`make test` together with the pytest plugins of a sourced ROS 2, whose hooks pytest 9 refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# as launch_testing, launch_testing_ros and launch_pytest register them in Jazzy
ENTRY_POINTS = {
    "launch_testing": "launch_testing_hooks",
    "launch_ros": "launch_ros_hooks",
    "launch_pytest": "pytest_hooks",
}
HOOKS = {
    # an argument that pytest 9 removed, and a hook that only launch_testing declares
    "launch_testing_hooks": "def pytest_pycollect_makemodule(path, parent):\n    return None\n",
    "launch_ros_hooks": "def pytest_launch_collect_makemodule(path, parent, entrypoint):\n    return None\n",
    "pytest_hooks": "def pytest_pycollect_makemodule(path, parent):\n    return None\n",
}


def collect(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    for name, module in ENTRY_POINTS.items():
        info = folder / f"{name}-3.4.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.4.0\n")
        (info / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
        (folder / f"{module}.py").write_text(HOOKS[module])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *options]
    return subprocess.run(
        [*command, str(ROOT / "test" / "test_grid.py")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_tests_start_with_the_plugins_of_launch(tmp_path: Path) -> None:
    done = collect(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_grid.py" in done.stdout


@pytest.mark.skipif(int(pytest.__version__.split(".")[0]) < 9, reason="pytest 8 accepts these hooks")
def test_without_our_options_pytest_refuses_these_plugins(tmp_path: Path) -> None:
    done = collect(tmp_path, "-o", "addopts=--import-mode=importlib")
    assert done.returncode != 0
    assert "PluginValidationError" in done.stdout + done.stderr
