"""`occdepth doctor`: check this machine, and print the command that installs what is missing."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from occdepth_ros import __version__
from occdepth_ros.models.registry import MODELS

SUMMARY = "check this machine and list what is missing"

LIBRARIES = {  # module: distribution on PyPI
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "PyYAML",
    "rich": "rich",
    "safetensors": "safetensors",
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
}
OPTIONAL = {  # module: purpose
    "onnx": "occdepth export, exported models",
    "onnxscript": "occdepth export",
    "onnxruntime": "exported models",
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
# Runs in a separate process, so that the core does not import ROS and a broken library cannot end this one.
PROBE = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
        found[name] = {"file": module.__file__ or ""}
    except Exception as error:
        found[name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
if "file" in found["rclpy"]:
    from rclpy.utilities import get_rmw_implementation_identifier
    found["rclpy"]["rmw"] = get_rmw_implementation_identifier()
print(json.dumps(found))
"""


class State(str, Enum):
    """State of a finding; only MISSING makes the exit code 1."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        topic: what was checked.
        state: result of the check.
        text: description of the result.
        remedy: command or advice; empty if nothing needs to be done.
    """

    topic: str
    state: State
    text: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return 0 if nothing is missing, else 1."""
    findings = list(examine())
    healthy = all(finding.state is not State.MISSING for finding in findings)
    if arguments.json:
        print(json.dumps({"ok": healthy, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        for finding in findings:
            print(f"{finding.state.value:<8} {finding.topic:<20} {finding.text}")
            if finding.remedy:
                print(f"{'':<29} -> {finding.remedy}")
        print("nothing is missing" if healthy else "something is missing: see the lines above")
    return 0 if healthy else 1


def examine() -> Iterator[Finding]:
    """Run all checks."""
    yield from examine_machine()
    yield from examine_libraries()
    yield from examine_optional()
    yield examine_gpu()
    yield from examine_ros()
    yield from examine_models()


def examine_machine() -> Iterator[Finding]:
    """Check interpreter, processor and disk."""
    supported = (3, 10) <= sys.version_info[:2] <= (3, 14)
    yield Finding("occdepth_ros", State.OK, f"{__version__}, {Path(__file__).resolve().parents[1]}")
    yield Finding(
        "Python",
        State.OK if supported else State.MISSING,
        f"{platform.python_version()}, {sys.executable}",
        "" if supported else "use Python 3.10 to 3.12",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    yield Finding("machine", State.OK, f"{platform.machine()}, {cores} cores, {memory / 1e9:.0f} GB memory")
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= FREE_BYTES
    remedy = "" if enough else "free disk space: results and bags are written here"
    yield Finding("disk", State.OK if enough else State.NOTE, f"{free / 1e9:.1f} GB free in {Path.cwd()}", remedy)


def examine_libraries() -> Iterator[Finding]:
    """Import the dependencies other than ROS."""
    for module, distribution in LIBRARIES.items():
        try:
            loaded = importlib.import_module(module)
        except (ImportError, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield Finding(module, State.MISSING, reason, f"pip install {distribution}")
        else:
            yield Finding(module, State.OK, str(getattr(loaded, "__version__", None) or _version(distribution)))


def examine_optional() -> Iterator[Finding]:
    """Check the libraries of the extra `export` without importing them."""
    for module, use in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(module, State.NOTE, f"absent: {use}", "pip install 'occdepth_ros[export]'")
        else:
            yield Finding(module, State.OK, _version(module))


def examine_gpu() -> Finding:
    """Check whether torch can use a CUDA device."""
    try:
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            free, total = torch.cuda.mem_get_info()
            name = torch.cuda.get_device_name()
            return Finding("GPU", State.OK, f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
        build = torch.version.cuda
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("GPU", State.NOTE, f"torch reports: {str(error).splitlines()[0]}")
    if build is None:
        return Finding("GPU", State.NOTE, "this torch is built without CUDA", "pip install torch (a CUDA build)")
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", State.NOTE, "none: models run on the CPU")
    remedy = "compare the driver that nvidia-smi shows with this CUDA version"
    return Finding("GPU", State.NOTE, f"a driver is there, but torch (CUDA {build}) cannot use it", remedy)


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


def probe_ros() -> dict[str, dict[str, str]]:
    """Import the ROS packages in another process; returns a mapping from module to `file` or `error`."""
    command = [sys.executable, "-c", PROBE, *ROS_PACKAGES]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep)
    try:
        found: dict[str, dict[str, str]] = json.loads(answer.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        reason = (answer.stderr.strip().splitlines() or [f"Python ended with code {answer.returncode}"])[-1]
        found = {module: {"error": reason} for module in ROS_PACKAGES}
    return found


def ros_finding(package: str, found: dict[str, str], distro: str, *, installed: bool) -> Finding:
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
