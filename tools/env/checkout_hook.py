"""Connects the `.venv` of a checkout to the shared environment; `make env` copies this file into `.venv`.

It runs at every start of `.venv/bin/python`, from a .pth file, before other imports. The shared environment (packages,
ROS, interfaces) is in a cache; files of this checkout take precedence:
  - AMENT_PREFIX_PATH and LD_LIBRARY_PATH contain the build of this checkout and the environment. The dynamic linker
    reads LD_LIBRARY_PATH only at the start of a process; if the variable changes, Python is restarted once.
  - `occdepth_ros` is the source folder of this checkout together with the generated messages of its build, independent
    of the current directory.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import site
import sys
from pathlib import Path

SETTINGS = Path(__file__).with_name("occdepth_checkout.json")


def lead(variable: str, folders: list[str]) -> bool:
    """Put `folders` at the head of a path variable; return whether that changed it."""
    before = os.environ.get(variable, "")
    rest = [entry for entry in before.split(os.pathsep) if entry and entry not in folders]
    os.environ[variable] = after = os.pathsep.join([*folders, *rest])
    return after != before


class PackageFinder(importlib.abc.MetaPathFinder):
    """Finds one package in two folders: its sources and its generated files."""

    def __init__(self, name: str, folders: list[str]) -> None:
        self.name = name
        self.folders = folders

    def find_spec(self, fullname: str, path: object = None, target: object = None):  # type: ignore[no-untyped-def]
        """Return the spec of the package; every other name is left to the other finders."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, Path(self.folders[0], "__init__.py"), submodule_search_locations=list(self.folders)
        )


def start() -> None:
    """Set this process up."""
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    lead("AMENT_PREFIX_PATH", settings["prefixes"])
    # the ROS wheels would restart Python with a path that does not include this checkout
    os.environ["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    if lead("LD_LIBRARY_PATH", settings["libraries"]) and settings["libraries"]:
        os.execv(sys.executable, sys.orig_argv)
    for folder in settings["site_folders"]:
        site.addsitedir(folder)
    sys.path.extend(folder for folder in settings["stand_ins"] if folder not in sys.path)
    sys.meta_path.insert(0, PackageFinder("occdepth_ros", settings["package"]))
