"""Checks of this machine, each with the command that installs what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from occdepth_ros import __version__
from occdepth_ros.commands.doctor.findings import Finding, State
from occdepth_ros.errors import pip_install
from occdepth_ros.models.registry import MODELS

LIBRARIES = {  # module: distribution on PyPI
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "PyYAML",
    "rich": "rich",
    "numba": "numba",
    "torch": "torch",
}
LEAST = {"numpy": "1.26", "cv2": "4.6", "PIL": "10.1", "yaml": "6", "rich": "13", "numba": "0.59", "torch": "2.2"}
"""Oldest supported versions, as in pyproject.toml."""
OPTIONAL = {  # module: distribution on PyPI, purpose
    "rosbags": ("rosbags", "bags as a source, occdepth convert"),
    "edt": ("edt", "the service ~/map/distance_field"),
    "rerun": ("rerun-sdk", "occdepth view"),
    "timm": ("timm", "the published networks occdepth-b3 and others"),
    "torchvision": ("torchvision", "the published network monoocc-s, occdepth train"),
    "lightning": ("lightning", "occdepth train"),
    "safetensors": ("safetensors", "occdepth train and occdepth weights, which write weights files"),
    "onnx": ("onnx", "occdepth export, exported models"),
    "onnxscript": ("onnxscript", "occdepth export"),
    "onnxruntime": ("onnxruntime", "exported models"),
}
ROS_PACKAGES = {  # module that the nodes import: ROS package that provides it
    "rclpy": "rclpy",
    "sensor_msgs.msg": "sensor_msgs",
    "nav_msgs.msg": "nav_msgs",
    "visualization_msgs.msg": "visualization_msgs",
    "diagnostic_msgs.msg": "diagnostic_msgs",
    "octomap_msgs.msg": "octomap_msgs",
    "tf2_msgs.msg": "tf2_msgs",
    "tf2_ros": "tf2_ros_py",
    "std_srvs.srv": "std_srvs",
    "diagnostic_updater": "diagnostic_updater",
    "occdepth_ros.msg": "occdepth_ros",
}
RCLPY_DISTROS = {"3.": "humble", "7.": "jazzy", "9.": "kilted"}
STAND_INS = "pip_ros"
FREE_BYTES = 2 * 10**9
# Runs in a separate process: the core does not import ROS, and a broken library cannot terminate this process.
PROBE = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
        found[name] = {"file": module.__file__ or "", "version": str(getattr(module, "__version__", None) or "")}
    except Exception as error:
        found[name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
if "file" in found.get("rclpy", {}):
    from rclpy.utilities import get_rmw_implementation_identifier
    found["rclpy"]["rmw"] = get_rmw_implementation_identifier()
if "file" in found.get("torch", {}):
    torch = importlib.import_module("torch")
    device = found["torch"]["device"] = {"cuda": torch.version.cuda or ""}
    try:
        if torch.cuda.is_available():
            device["free"], device["total"] = (str(size) for size in torch.cuda.mem_get_info())
            device["name"] = torch.cuda.get_device_name()
    except Exception as error:
        device["error"] = str(error).splitlines()[0]
print(json.dumps(found))
"""


def examine() -> Iterator[Finding]:
    """Run all checks."""
    yield from examine_machine()
    libraries = probe(LIBRARIES)
    yield from examine_libraries(libraries)
    yield from examine_optional()
    yield examine_gpu(libraries.get("torch", {}))
    yield from examine_ros()
    yield from examine_models()


def probe(modules: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Import modules in another process; returns a mapping from module to `file` and `version`, or `error`."""
    names = list(modules)
    command = [sys.executable, "-c", PROBE, *names]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep)
    try:
        found: dict[str, dict[str, Any]] = json.loads(answer.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        reason = (answer.stderr.strip().splitlines() or [f"Python ended with code {answer.returncode}"])[-1]
        found = {module: {"error": reason} for module in names}
    return found


def examine_machine() -> Iterator[Finding]:
    """Check interpreter, processor and disk."""
    supported = (3, 10) <= sys.version_info[:2] <= (3, 14)
    yield Finding("occdepth_ros", State.OK, f"{__version__}, {Path(__file__).resolve().parents[2]}")
    yield Finding(
        "Python",
        State.OK if supported else State.MISSING,
        f"{platform.python_version()}, {sys.executable}",
        "" if supported else "use Python 3.10 to 3.14",
    )
    yield Finding("machine", State.OK, f"{platform.machine()}, {_cores()} cores{_memory()}")
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= FREE_BYTES
    remedy = "" if enough else "free disk space: results and bags are written here"
    yield Finding("disk", State.OK if enough else State.NOTE, f"{free / 1e9:.1f} GB free in {Path.cwd()}", remedy)


def examine_libraries(found: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """Report the dependencies other than ROS.

    Args:
        found: result of `probe`.
    """
    for module, distribution in LIBRARIES.items():
        result = found[module]
        if "error" in result:
            yield Finding(module, State.MISSING, result["error"], pip_install(distribution))
            continue
        version, least = result["version"] or _version(distribution), LEAST.get(module, "0")
        if _numbers(version) < _numbers(least):
            remedy = pip_install(f"'{distribution}>={least}'")
            yield Finding(module, State.MISSING, f"{version} is older than {least}", remedy)
        else:
            yield Finding(module, State.OK, version)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, such as (2, 15, 0) of "2.15.0+cu132"; a version without any is new."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else (1 << 30,)


def examine_optional() -> Iterator[Finding]:
    """Check the libraries of the extras without importing them."""
    for module, (distribution, use) in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(module, State.NOTE, f"absent: {use}", pip_install(distribution))
        else:
            yield Finding(module, State.OK, _version(distribution))


def examine_gpu(torch: dict[str, Any]) -> Finding:
    """Check whether torch can use a CUDA device.

    Args:
        torch: result of `probe` for torch.
    """
    device = torch.get("device", {})
    if "error" in torch or "error" in device:
        return Finding("GPU", State.NOTE, f"torch reports: {torch.get('error') or device['error']}")
    if "name" in device:
        free, total = (int(device[key]) / 1e9 for key in ("free", "total"))
        return Finding("GPU", State.OK, f"{device['name']}, {free:.1f} of {total:.1f} GB free")
    if not device.get("cuda"):
        return Finding("GPU", State.NOTE, "this torch is built without CUDA", "pip install torch (a CUDA build)")
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", State.NOTE, "none: models run on the CPU")
    remedy = "compare the driver that nvidia-smi shows with this CUDA version"
    return Finding("GPU", State.NOTE, f"a driver is there, but torch (CUDA {device['cuda']}) cannot use it", remedy)


def examine_ros() -> Iterator[Finding]:
    """Import every ROS package that the nodes use, and check for related programs."""
    found = probe_ros()
    rclpy = found["rclpy"]
    if "error" in rclpy:
        sourced = os.environ.get("ROS_DISTRO")
        if not sourced and not os.environ.get("AMENT_PREFIX_PATH"):
            remedy = "source a ROS 2 installation, or run `make env` in a checkout and use .venv/bin/occdepth"
            yield Finding("ROS 2", State.NOTE, "not found: everything except the nodes works", remedy)
            return
        remedy = "use the interpreter that this ROS was built for"
        yield Finding("ROS 2", State.MISSING, f"{sourced or 'sourced'}, but {rclpy['error']}", remedy)
        return
    distro, origin = _distro()
    yield Finding("ROS 2", State.OK, f"{distro}, {origin}, middleware {rclpy['rmw']}")
    for module, package in ROS_PACKAGES.items():
        yield ros_finding(package, found[module], distro, installed=origin == "installation")
    yield from examine_programs(distro)


def probe_ros() -> dict[str, dict[str, Any]]:
    """Import the ROS packages, as `probe`."""
    return probe(ROS_PACKAGES)


def ros_finding(package: str, found: dict[str, Any], distro: str, *, installed: bool) -> Finding:
    """Return the finding of one ROS package from the result of its import."""
    apt = f"sudo apt install ros-{distro}-{package.replace('_', '-')}"
    if "error" in found:
        remedy = apt if installed and package != "occdepth_ros" else "run `make env` (or colcon build, and source it)"
        return Finding(package, State.MISSING, found["error"], remedy)
    if STAND_INS in Path(found["file"]).parent.as_posix().replace("-", "/").split("/"):
        text = "stand-in of this project with the parts that the nodes use"
        return Finding(package, State.NOTE if installed else State.OK, text, apt if installed else "")
    return Finding(package, State.OK, found["file"])


def examine_programs(distro: str) -> Iterator[Finding]:
    """Check for optional programs that the nodes do not need."""
    for program, package, use in (
        ("ros2", "ros2cli", "ros2 launch and ros2 topic; without it `make demo` and .venv/bin/python start the nodes"),
        ("rviz2", "rviz2", "the live view; without it the demo writes images"),
    ):
        path = shutil.which(program)
        if path:
            yield Finding(program, State.OK, path)
        else:
            remedy = f"sudo apt install ros-{distro}-{package} (from the ROS package source)"
            yield Finding(program, State.NOTE, f"absent: {use}", remedy)


def examine_models() -> Iterator[Finding]:
    """Check which models can run."""
    for name, entry in MODELS.items():
        if entry.needs_weights:
            yield Finding(name, State.NOTE, "needs a weights file: --weights FILE, or weights:=FILE for the node")
        else:
            yield Finding(name, State.OK, "ready, needs no weights")


def _cores() -> int:
    """Return the number of cores that this process may use; all of the machine on Windows and macOS."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    """Return the text for the size of the memory, empty on Windows."""
    if not hasattr(os, "sysconf"):
        return ""
    return f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB memory"


def _distro() -> tuple[str, str]:
    """Return the name of the ROS distribution, and whether it comes from an installation or from PyPI."""
    try:
        version = importlib.metadata.version("ros-rclpy")
    except importlib.metadata.PackageNotFoundError:
        return os.environ.get("ROS_DISTRO", "unknown"), "installation"
    name = next((distro for start, distro in RCLPY_DISTROS.items() if version.startswith(start)), "unknown")
    return name, f"wheels from PyPI (rclpy {version})"


def _version(distribution: str) -> str:
    """Return the version of an installed distribution, if available."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
