"""`make env`: the environment that the package is built, tested and run in.

Four layers, each rebuilt only when its own inputs change:
  1. the packages of requirements*.txt, in a virtual environment in the cache (about 6 GB, shared by all checkouts);
  2. the interface packages of tools/pip_ros that this machine lacks, built with colcon, in the cache;
  3. this package, built with colcon in the checkout's own build/ and install/;
  4. the checkout's `.venv`: a thin environment that joins the three (see checkout_hook.py).
With a sourced ROS 2, layer 1 holds no ROS, and layer 2 only what the installation lacks. A layer counts when its
stamp, which is written last, is there; an interrupted build is taken up again. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from steps import StepError, Steps, locked, main_guard, write_whole

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PIP_ROS = ROOT / "tools" / "pip_ros"
NEEDED_BYTES = 8 * 10**9
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
STAMP = "complete.json"
# Asked of the interpreter in a process of its own, because a sourced ROS may hold broken modules.
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
    """Whether the layer in `folder` was finished from these inputs."""
    try:
        return bool(json.loads((folder / STAMP).read_text())["key"] == key)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def complete(folder: Path, key: str) -> None:
    """Mark a layer as finished."""
    write_whole(folder / STAMP, json.dumps({"key": key}))


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without caches."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


@dataclass
class Environment:
    """What to build, and where.

    Args:
        ros: distribution of the sourced ROS 2; empty without one.
        absent: top-level modules of tools/pip_ros that this machine lacks.
        kept: versions of what is taken from the sourced ROS' interpreter even though requirements.txt names it: its
            compiled modules are bound to that numpy and that OpenCV.
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
        parts += [ROOT / "CMakeLists.txt", ROOT / "package.xml", *files_below(ROOT / "msg"), *files_below(HERE)]
        for folder in ("occdepth_ros", "launch", "config", "tools/cmake"):
            parts += [str(p.relative_to(ROOT)) for p in files_below(ROOT / folder)]
        return digest(*parts)

    def prefixes(self) -> list[Path]:
        """The ament prefixes below this package's own, the nearest first."""
        return ([self.overlay] if self.interfaces else []) + ([] if self.ros else [self.packages])

    def libraries(self) -> list[Path]:
        """The folders of shared libraries of the prefixes; the ROS wheels bring some beside their modules."""
        bundled = [] if self.ros else sorted(self.packages.glob(f"lib/{PYTHON}/site-packages/ros_*.libs"))
        return [prefix / "lib" for prefix in self.prefixes()] + bundled

    def variables(self, python: Path) -> dict[str, str]:
        """The variables that builds run with: the prefixes, and `python` first."""
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
        env |= {"PYTHONDONTWRITEBYTECODE": "1", "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}
        return env


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


def make_packages(env: Environment, steps: Steps) -> None:
    """Build layer 1: everything that pip installs."""
    folder, python = env.packages, env.packages / "bin" / "python"
    if not is_complete(folder, env.packages_key):
        free = shutil.disk_usage(folder.parent).free + sum(p.stat().st_size for p in files_below(folder))
        if free < NEEDED_BYTES:
            raise StepError(
                f"{free / 1e9:.1f} GB are free under {folder.parent}, 8 GB are needed; "
                "free some, or set OCCDEPTH_CACHE to a folder on another disk"
            )
        steps.say(f"no environment for these inputs yet; making {folder} (once, about 3 minutes and 6 GB)")
        if not python.exists():
            venv.create(folder, with_pip=True, system_site_packages=bool(env.ros), clear=True, symlinks=True)
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        files = [argument for path in wanted(env) for argument in ("-r", path)]
        steps.run("installing the packages from the package index", [*pip, *files], env.variables(python))
        repair_exports(folder)
        complete(folder, env.packages_key)


def wanted(env: Environment) -> list[Path]:
    """The requirement files to install; without the lines of what is kept, and with its numpy held."""
    if not env.kept:
        return env.requirements
    lines = env.requirements[0].read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if re.split(r"[=<>;\[ ]", line)[0] not in env.kept]
    lines += [f"numpy=={env.kept['numpy']}"] if "numpy" in env.kept else []
    path = env.packages / "requirements.txt"
    write_whole(path, "\n".join([*lines, "colcon-common-extensions", ""]))
    return [path]


def repair_exports(prefix: Path) -> None:
    """Replace the build machine's Python paths, which the ROS wheels carry in their CMake files, by our own."""
    for path in prefix.glob("share/*/cmake/*.cmake"):
        text = path.read_text(encoding="utf-8")
        if "/opt/python/" in text:
            text = re.sub(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+", sysconfig.get_path("include"), text)
            text = re.sub(r"/opt/python/cp\d+-cp\d+/lib/python3\.\d+", str(prefix / "lib" / PYTHON), text)
            write_whole(path, text)


def colcon(env: Environment, python: Path, arguments: Iterable[str | Path]) -> list[str | Path]:
    """The command line of a build with `python`."""
    start = "import sys; from colcon_core.command import main; sys.exit(main())"
    cmake = [f"-DPython3_EXECUTABLE={python}", "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release", "-Wno-dev"]
    return [env.packages / "bin" / "python", "-c", start, *arguments, "--cmake-args", *cmake]


def make_interfaces(env: Environment, steps: Steps) -> None:
    """Build layer 2: the message packages that this machine lacks."""
    if not env.interfaces or is_complete(env.overlay, env.interfaces_key):
        return
    python, work = env.packages / "bin" / "python", env.cache / f"work-{env.interfaces_key}"
    for leftover in (env.overlay, work):
        shutil.rmtree(leftover, ignore_errors=True)
    names = [folder.name for folder in env.interfaces]
    places = ["--build-base", work / "build", "--install-base", env.overlay, "--base-paths", *env.interfaces]
    command = ["--log-base", work / "log", "build", "--merge-install", *places]
    steps.run(f"building the interfaces {', '.join(names)}", colcon(env, python, command), env.variables(python))
    shutil.rmtree(work, ignore_errors=True)
    complete(env.overlay, env.interfaces_key)


def make_checkout(env: Environment, steps: Steps) -> None:
    """Build layers 3 and 4: this package, and the `.venv` that joins everything."""
    thin = ROOT / ".venv"
    if thin.is_symlink():
        thin.unlink()
    site_folder, python = thin / "lib" / PYTHON / "site-packages", thin / "bin" / "python"
    if not python.exists() or not site_folder.is_dir():
        steps.say("making .venv")
        venv.create(thin, with_pip=False, system_site_packages=bool(env.ros), clear=True, symlinks=True)
    (thin / STAMP).unlink(missing_ok=True)
    join(env, site_folder)
    arguments = ["--log-base", ROOT / "log", "build", "--symlink-install", "--base-paths", ROOT]
    arguments += ["--build-base", ROOT / "build", "--install-base", ROOT / "install"]
    what = "building occdepth_ros (messages, nodes, launch files)"
    steps.run(what, colcon(env, python, arguments), env.variables(python), cwd=ROOT)
    join(env, site_folder)
    for name in ("pytest", "mypy", "pip"):
        write_command(thin, name, name)
    write_command(thin, "occdepth", "occdepth_ros.cli")
    for name in ("ruff", "colcon"):
        if (env.packages / "bin" / name).exists():
            (thin / "bin" / name).unlink(missing_ok=True)
            (thin / "bin" / name).symlink_to(env.packages / "bin" / name)
    complete(thin, env.checkout_key)


def write_command(thin: Path, name: str, module: str) -> None:
    """Write the command `name` of `.venv`, which runs a module."""
    script = f'#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/python" -m {module} "$@"\n'
    write_whole(thin / "bin" / name, script, 0o755)


def join(env: Environment, site_folder: Path) -> None:
    """Write what `.venv` needs to find the layers; see checkout_hook.py."""
    own = ROOT / "install" / "occdepth_ros"
    generated = sorted(own.glob("**/occdepth_ros/msg/__init__.py"))
    site_folders = [p for prefix in env.prefixes() for p in prefix.glob(f"lib/{PYTHON}/site-packages")]
    site_folders += env.overlay.glob(f"local/lib/{PYTHON}/dist-packages")
    if env.ros:
        site_folders.append(env.packages / "lib" / PYTHON / "site-packages")
    settings = {
        "prefixes": [own, *env.prefixes()],
        "libraries": [own / "lib", *env.libraries()],
        "site_folders": site_folders,
        "stand_ins": env.stand_ins,
        "package": [ROOT / "occdepth_ros", *(path.parents[1] for path in generated[:1])],
    }
    texts = {name: [str(path) for path in paths] for name, paths in settings.items()}
    write_whole(site_folder / "occdepth_checkout.json", json.dumps(texts, indent=1))
    write_whole(site_folder / "_occdepth_checkout.py", (HERE / "checkout_hook.py").read_text(encoding="utf-8"))
    write_whole(site_folder / "occdepth_checkout.pth", "import _occdepth_checkout\n")


def main() -> int:
    """Make what is missing; return the exit code."""
    try:
        env = detect()
        steps = Steps(env.cache / f"log-{env.packages_key}.txt")
        if (
            is_complete(ROOT / ".venv", env.checkout_key)
            and is_complete(env.packages, env.packages_key)
            and (not env.interfaces or is_complete(env.overlay, env.interfaces_key))
        ):
            return 0
        steps.say(f"ROS 2 {env.ros} is sourced; using it" if env.ros else "no ROS 2 is sourced; taking it from PyPI")
        with locked(env.cache / f"lock-{env.packages_key}", steps):
            make_packages(env, steps)
            make_interfaces(env, steps)
        with locked(ROOT / "build" / ".lock", steps):
            make_checkout(env, steps)
        steps.say("ready: .venv/bin/occdepth, .venv/bin/python")
    except (StepError, OSError) as error:
        return main_guard(error)
    except KeyboardInterrupt:
        print("make env: interrupted; running it again resumes", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
