"""The layers of `make env`: folders, inputs and keys."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from steps import StepError, write_whole

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PIP_ROS = ROOT / "tools" / "pip_ros"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
STAMP = "complete.json"
# Runs in a separate process, because a sourced ROS may contain broken modules.
QUESTION = """
import importlib, importlib.util, json, sys
kept = {}
for module, name in (("numpy", "numpy"), ("cv2", "opencv-python-headless")):
    if importlib.util.find_spec(module):
        kept[name] = importlib.import_module(module).__version__
print(json.dumps([[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None], kept]))
"""


def digest(*parts: str | Path) -> str:
    """Hash texts and the contents of files."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        state.update(b"\0")
    return state.hexdigest()[:16]


def is_complete(folder: Path, key: str) -> bool:
    """Return whether the layer in `folder` was completed from these inputs."""
    try:
        return bool(json.loads((folder / STAMP).read_text())["key"] == key)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def complete(folder: Path, key: str) -> None:
    """Mark a layer as complete."""
    write_whole(folder / STAMP, json.dumps({"key": key}))


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder, sorted, without caches."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


@dataclass
class Environment:
    """Layers to build, and their folders.

    Args:
        ros: distribution of the sourced ROS 2; empty without one.
        absent: top-level modules of tools/pip_ros that this machine lacks.
        kept: versions of the packages of the sourced ROS' interpreter that replace those of requirements.txt, because
            the compiled ROS modules depend on that numpy and OpenCV.
    """

    ros: str
    absent: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    @cached_property
    def cache(self) -> Path:
        """Folder of the shared layers."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return Path(os.environ.get("OCCDEPTH_CACHE") or home / "occdepth_ros").expanduser().absolute()

    @cached_property
    def requirements(self) -> list[Path]:
        """The requirement files of this kind of machine."""
        files = [HERE / "requirements.txt"]
        return files if self.ros else [*files, HERE / "requirements-ros.txt"]

    @cached_property
    def packages_key(self) -> str:
        """Hash of what the packages layer depends on."""
        machine = (self.ros, sys.base_prefix, PYTHON, sysconfig.get_platform(), str(self.kept))
        return digest("1", *machine, *self.requirements)

    @cached_property
    def packages(self) -> Path:
        """The virtual environment of the packages layer."""
        return self.cache / f"packages-{self.packages_key}"

    @cached_property
    def interfaces(self) -> list[Path]:
        """The interface packages to build."""
        return [PIP_ROS / name for name in self.absent if (PIP_ROS / name / "package.xml").is_file()]

    @cached_property
    def interfaces_key(self) -> str:
        """Hash of what the interfaces layer depends on."""
        parts: list[str | Path] = [self.packages_key]
        for path in (p for folder in self.interfaces for p in files_below(folder)):
            parts += [str(path.relative_to(PIP_ROS)), path]
        return digest(*parts)

    @cached_property
    def overlay(self) -> Path:
        """The prefix of the interfaces layer; its name tells stand-ins from the real ones."""
        return self.cache / f"pip_ros-{self.interfaces_key}"

    @cached_property
    def stand_ins(self) -> list[Path]:
        """The folders to import the Python stand-ins from: `<name>/<name>/__init__.py`."""
        return [PIP_ROS / name for name in self.absent if (PIP_ROS / name / name / "__init__.py").is_file()]

    @cached_property
    def checkout_key(self) -> str:
        """Hash of what `.venv` and the build of this package depend on; modules are linked, so only by name."""
        parts: list[str | Path] = [self.interfaces_key, str(ROOT), *map(str, self.stand_ins)]
        parts += [
            ROOT / "CMakeLists.txt",
            ROOT / "package.xml",
            *files_below(ROOT / "msg"),
            *files_below(ROOT / "srv"),
            *files_below(HERE),
        ]
        for folder in ("occdepth_ros", "launch", "config", "tools/cmake"):
            parts += [str(p.relative_to(ROOT)) for p in files_below(ROOT / folder)]
        return digest(*parts)

    def prefixes(self) -> list[Path]:
        """Return the ament prefixes below this package's own, the nearest first."""
        return ([self.overlay] if self.interfaces else []) + ([] if self.ros else [self.packages])

    def libraries(self) -> list[Path]:
        """Return the shared-library folders of the prefixes; the ROS wheels contain libraries next to their modules."""
        bundled = [] if self.ros else sorted(self.packages.glob(f"lib/{PYTHON}/site-packages/ros_*.libs"))
        return [prefix / "lib" for prefix in self.prefixes()] + bundled

    def variables(self, python: Path) -> dict[str, str]:
        """Return the environment variables of builds: the prefixes, and `python` first."""
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")}
        if not self.ros:
            for name in ("PYTHONPATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH"):
                env.pop(name, None)
        present = [p for p in self.prefixes() if p.is_dir()]
        heads = {
            "AMENT_PREFIX_PATH": present,
            "CMAKE_PREFIX_PATH": present,
            "LD_LIBRARY_PATH": self.libraries(),
            "PATH": [python.parent, self.packages / "bin"],
        }
        for name, folders in heads.items():
            env[name] = os.pathsep.join([*map(str, folders), *filter(None, [env.get(name)])])
        return env | {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}


def detect() -> Environment:
    """Find out whether a ROS 2 is sourced, and what of tools/pip_ros it lacks."""
    names = sorted(p.name for p in PIP_ROS.iterdir() if p.is_dir() and not p.name.startswith((".", "_", "test")))
    if not (os.environ.get("AMENT_PREFIX_PATH") and os.environ.get("ROS_DISTRO")):
        return Environment(ros="", absent=names)
    command = [sys.executable, "-c", QUESTION, "rclpy", *names]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    absent, kept = json.loads(answer)
    if "rclpy" in absent:
        raise StepError(
            f"ROS 2 {os.environ['ROS_DISTRO']} is sourced, but {sys.executable} cannot import its rclpy; "
            "use the interpreter that it was built for, or a shell without ROS to take ROS from PyPI"
        )
    return Environment(ros=os.environ["ROS_DISTRO"], absent=absent, kept=kept)
