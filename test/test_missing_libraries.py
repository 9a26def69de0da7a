"""Without numba or PyTorch, everything that needs neither works, and the rest names the package to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.modules[sys.argv[1]] = None  # an import raises ModuleNotFoundError
from occdepth_ros.cli import main
sys.exit(main(sys.argv[2:]))
"""
PAIR = ["run", "--count", "1", "--model"]


def run_without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, package, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("numba", [*PAIR, "stereo-geometry", "--out"]),
        ("torch", [*PAIR, "occdepth-edge", "--out"]),
        ("torch", ["bench"]),
        ("torch", ["train"]),
    ],
)
def test_a_missing_package_is_named(package: str, command: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    out = [str(tmp_path_factory.mktemp("results") / "new")] if command[-1] == "--out" else []
    done = run_without(package, *command, *out)
    assert done.returncode == 2, done.stderr
    assert f"the Python package {package}" in done.stderr
    assert "not installed" in done.stderr
    assert "pip install" in done.stderr or "occdepth doctor" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_stereo_baseline_needs_no_torch(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("results") / "new"
    done = run_without("torch", *PAIR, "stereo-geometry", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("*.npz"))) == 1


@pytest.mark.parametrize("package", ["numba", "torch", "torchvision"])
def test_the_doctor_needs_none_of_them(package: str) -> None:
    done = run_without(package, "doctor", "--json")
    assert done.returncode in (0, 1), done.stderr
    assert '"numba"' in done.stdout
