"""Without the modules and functions that only POSIX systems have, everything except the nodes works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import importlib, os, pkgutil, signal, sys
import cv2, numba, rich.console, torch  # they have branches of their own for Windows
MODULES = {"fcntl", "grp", "posix", "pwd", "resource", "termios"}
sys.modules.update(dict.fromkeys(MODULES))  # an import raises ModuleNotFoundError
for name in "fork geteuid getuid killpg mkfifo nice sched_getaffinity sched_setaffinity sysconf".split():
    delattr(os, name)
for name in "SIGHUP SIGKILL SIGUSR1 pthread_sigmask".split():
    delattr(signal, name)
import occdepth_ros
from occdepth_ros.cli import main
if sys.argv[1:]:
    sys.exit(main(sys.argv[1:]))
for module in pkgutil.walk_packages(occdepth_ros.__path__, "occdepth_ros."):
    if module.name.split(".")[1] not in ("nodes", "demo", "training"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # an optional library is absent
            assert error.name not in MODULES, f"{module.name}: {error}"
"""


def run_without_posix(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_module_without_ros_is_imported() -> None:
    done = run_without_posix()
    assert done.returncode == 0, done.stderr


def test_a_pair_is_predicted(tmp_path: Path) -> None:
    done = run_without_posix("run", "--count", "1", "--model", "stereo-geometry", "--octomap", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in tmp_path.iterdir()} >= {".npz", ".bt", ".json"}


def test_the_doctor_describes_the_machine() -> None:
    done = run_without_posix("doctor", "--json")
    assert done.returncode in (0, 1), done.stderr
    assert '"machine"' in done.stdout
