"""`make env`: create the environment in which the package is built, tested and run.

Four layers, each rebuilt only when its own inputs change:
  1. the packages of requirements*.txt, in a virtual environment in the cache (about 6 GB, shared by all checkouts);
  2. the interface packages of tools/pip_ros that this machine lacks, built with colcon, in the cache;
  3. this package, built with colcon in the checkout's own build/ and install/;
  4. the checkout's `.venv`: a thin environment that joins the three (see checkout_hook.py).
With a sourced ROS 2, layer 1 contains no ROS packages, and layer 2 only those that the installation lacks. A layer is
complete if its stamp exists, which is written last; an interrupted build is resumed. Standard library only.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import sysconfig
import venv
from collections.abc import Iterable
from pathlib import Path

from environment import HERE, PYTHON, ROOT, STAMP, Environment, complete, detect, files_below, is_complete
from steps import StepError, Steps, locked, main_guard, write_whole

NEEDED_BYTES = 8 * 10**9


def make_packages(env: Environment, steps: Steps) -> None:
    """Build layer 1: everything that pip installs."""
    folder, python = env.packages, env.packages / "bin" / "python"
    if not is_complete(folder, env.packages_key):
        free = shutil.disk_usage(folder.parent).free + sum(p.stat().st_size for p in files_below(folder))
        if free < NEEDED_BYTES:
            raise StepError(
                f"{free / 1e9:.1f} GB are free under {folder.parent}, 8 GB are needed; "
                "free disk space, or set OCCDEPTH_CACHE to a folder on another disk"
            )
        steps.say(f"no environment for these inputs yet; making {folder} (once, 3 to 15 minutes and 6 GB)")
        if not (folder / "bin" / "pip").exists():
            venv.create(folder, with_pip=True, system_site_packages=bool(env.ros), clear=True, symlinks=True)
        # byte code is compiled on first import, because most of the 10,000 files are never imported
        options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-compile"]
        command: list[str | Path] = [python, "-m", "pip", "install", *options]
        for path in wanted(env):
            command += ["-r", path]
        steps.run("installing the packages from the package index", command, env.variables(python))
        repair_exports(folder)
        complete(folder, env.packages_key)


def wanted(env: Environment) -> list[Path]:
    """Return the requirement files to install, without the kept packages and with their numpy pinned."""
    if not env.kept:
        return env.requirements
    lines = env.requirements[0].read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if re.split(r"[=<>;\[ ]", line)[0] not in env.kept]
    lines += [f"numpy=={env.kept['numpy']}"] if "numpy" in env.kept else []
    path = env.packages / "requirements.txt"
    write_whole(path, "\n".join([*lines, "colcon-common-extensions==0.3.0", ""]))
    return [path]


def repair_exports(prefix: Path) -> None:
    """Replace the Python paths of the build machine in the CMake files of the ROS wheels by those of this machine."""
    for path in prefix.glob("share/*/cmake/*.cmake"):
        text = path.read_text(encoding="utf-8")
        if "/opt/python/" in text:
            text = re.sub(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+", sysconfig.get_path("include"), text)
            text = re.sub(r"/opt/python/cp\d+-cp\d+/lib/python3\.\d+", str(prefix / "lib" / PYTHON), text)
            write_whole(path, text)


def colcon(env: Environment, python: Path, arguments: Iterable[str | Path]) -> list[str | Path]:
    """Return the command line of a build with `python`."""
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
    places: list[str | Path] = [
        "--build-base",
        work / "build",
        "--install-base",
        env.overlay,
        "--base-paths",
        *env.interfaces,
    ]
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
    made_with = ROOT / "build" / "environment.txt"
    if not made_with.is_file() or made_with.read_text() != env.interfaces_key:
        # the CMake cache belongs to another environment
        shutil.rmtree(ROOT / "build" / "occdepth_ros", ignore_errors=True)
        shutil.rmtree(ROOT / "install", ignore_errors=True)
        write_whole(made_with, env.interfaces_key)
    arguments: list[str | Path] = ["--log-base", ROOT / "log", "build", "--symlink-install", "--base-paths", ROOT]
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
    # otherwise the first prediction, the first subscriber and the first test wait for it
    command: list[str | Path] = [python, "-m", "occdepth_ros.mapping.warm_up"]
    steps.run("compiling loops over voxels (numba)", command, env.variables(python), cwd=ROOT)
    complete(thin, env.checkout_key)


def write_command(thin: Path, name: str, module: str) -> None:
    """Write the command `name` of `.venv`, which runs a module."""
    script = f'#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/python" -m {module} "$@"\n'
    write_whole(thin / "bin" / name, script, 0o755)


def join(env: Environment, site_folder: Path) -> None:
    """Write the files with which `.venv` finds the layers; see checkout_hook.py."""
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
    write_whole(site_folder / "occdepth_checkout.pth", "import _occdepth_checkout; _occdepth_checkout.start()\n")


def main() -> int:
    """Build missing layers; return the exit code."""
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
