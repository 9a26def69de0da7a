"""Fault injection: every outside call fails once, at each index; the node names the fault and recovers.

As `RCUTILS_FAULT_INJECTION_TEST` of rcl does: the same scenario runs again and again, and in run n the n-th call of the
kind fails, until a run has no n-th call.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import cv2
import tf2_ros
from rclpy.lifecycle import LifecyclePublisher

from benchmarks.soak.local_node import LocalNode, local_node
from benchmarks.soak.result import Result
from occdepth_ros.engine import Engine
from occdepth_ros.nodes.faults import Component
from occdepth_ros.nodes.stereo_occ import model_host

PART = "fault injection"
NAMES = ("injected", "TF has no transform from 'map' to 'velodyne'")
"""Texts that name the failed call: that of the exception, and for the pose of the map the frames that are looked up."""
MAX_SHORT_INDEX = 60
"""Highest index in a short run, spread over all indices."""
Scenario = Callable[[LocalNode, Callable[[int], Any]], str]
"""Runs with the faults of the given context manager; returns the problem, empty = none."""


class Injector:
    """Counts calls, and fails the one with the index `at`.

    Args:
        error: creates the exception.
        at: index of the call that fails; -1 = none.
    """

    def __init__(self, error: Callable[[], Exception], at: int) -> None:
        self._error = error
        self._at = at
        self.calls = 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a failure."""

        def called(*arguments: Any, **options: Any) -> Any:
            index, self.calls = self.calls, self.calls + 1
            if index == self._at:
                raise self._error()
            return function(*arguments, **options)

        return called


@contextmanager
def failing_opencv(injector: Injector) -> Iterator[None]:
    """Make every function of OpenCV fail."""
    with ExitStack() as stack:
        for name, value in vars(cv2).items():
            if type(value).__name__ == "builtin_function_or_method" and name[0].islower():
                stack.enter_context(patch.object(cv2, name, injector.wrap(value)))
        yield


@contextmanager
def failing_publish(injector: Injector) -> Iterator[None]:
    """Make the publishing of lifecycle publishers fail."""
    with patch.object(LifecyclePublisher, "publish", injector.wrap(LifecyclePublisher.publish)):
        yield


@contextmanager
def failing_transforms(injector: Injector) -> Iterator[None]:
    """Make look-ups of transforms fail."""
    with patch.object(tf2_ros.Buffer, "lookup_transform", injector.wrap(tf2_ros.Buffer.lookup_transform)):
        yield


@contextmanager
def failing_load(injector: Injector) -> Iterator[None]:
    """Make the loading of the model fail."""
    with patch.object(model_host, "Engine", injector.wrap(Engine)):
        yield


@contextmanager
def failing_disk(injector: Injector) -> Iterator[None]:
    """Make opening, renaming and creating of files and folders fail."""
    with ExitStack() as stack:
        opened = injector.wrap(builtins.open)
        stack.enter_context(patch.object(builtins, "open", opened))
        stack.enter_context(patch.object(io, "open", opened))
        for name in ("replace", "rename", "mkdir", "fsync"):
            stack.enter_context(patch.object(os, name, injector.wrap(getattr(os, name))))
        yield


def run(full: bool, start: str = "") -> list[Result]:
    """Run all kinds of calls whose name begins with `start`."""
    kinds: dict[str, tuple[Callable[[Injector], Any], Callable[[], Exception], Scenario]] = {
        "OpenCV": (failing_opencv, lambda: cv2.error("injected"), _predict),
        "TF look-up, no transform": (
            failing_transforms,
            lambda: tf2_ros.LookupException("injected"),
            # the pose of the map is looked up for its topics
            partial(_predict, components=(Component.EXTRINSICS, Component.OUTPUT)),
        ),
        "TF look-up, other error": (failing_transforms, lambda: RuntimeError("injected"), _predict),
        "publish": (
            failing_publish,
            lambda: RuntimeError("injected"),
            partial(_predict, components=(Component.OUTPUT,)),
        ),
        "load the model": (failing_load, lambda: OSError(errno.EIO, "injected"), _configure),
        "disk, save the map": (failing_disk, lambda: OSError(errno.ENOSPC, "injected: no space left"), _save),
        "disk, load the map": (failing_disk, lambda: OSError(errno.EIO, "injected: input/output error"), _load),
    }
    return [_run(name, *kind, full=full) for name, kind in kinds.items() if name.startswith(start)]


def _run(
    name: str,
    failing: Callable[[Injector], Any],
    error: Callable[[], Exception],
    scenario: Scenario,
    *,
    full: bool,
) -> Result:
    with local_node(map_mode="always", extrinsics="tf") as local:
        injectors: list[Injector] = []

        def inject(at: int) -> Callable[[int], Any]:
            def injected(_: int) -> Any:
                injectors.append(Injector(error, at))
                return failing(injectors[-1])

            return injected

        scenario(local, inject(-1))
        total = max(injector.calls for injector in injectors)
        step = 1 if full else max(1, total // MAX_SHORT_INDEX)
        indices = range(0, total, step)
        problems = [f"index {at}: {problem}" for at in indices if (problem := scenario(local, inject(at)))]
    measured = f"{len(indices) - len(problems)} of {len(indices)}"
    if problems:
        measured += f" ({problems[0]})"
    return Result(PART, f"{name}: named and recovered, of {total} calls", measured, "all", not problems)


def _ready(local: LocalNode) -> None:
    if local.node.label != "active":
        assert local.up(), local.node.faults.present()
        local.provide()
        local.process(local.pair())
    assert local.process(local.pair()), [fault.text for fault in local.node.faults.present()]


def _predict(local: LocalNode, inject: Callable[[int], Any], components: tuple[Component, ...] = ()) -> str:
    """Run one pair with the failing call, then one without; returns what is wrong, empty = nothing."""
    _ready(local)
    local.node.faults._last = None
    with inject(0):
        predicted = local.process(local.pair())
    end = time.monotonic() + 1.0
    while not predicted and local.node.faults.last is None and time.monotonic() < end:
        time.sleep(0.001)  # the pair is counted before its fault is set
    named = local.node.faults.last
    if not predicted and named is None:
        return "the pair failed without a fault"
    if named is not None and not any(words in named.text for words in NAMES):
        return f"the fault does not name the call: {named.text}"
    if named is not None and components and named.component not in components:
        return f"the fault belongs to {named.component.value}: {named.text}"
    for _ in range(3):
        if local.process(local.pair()):
            break
    else:
        return f"no recovery: {[fault.text for fault in local.node.faults.present()]}"
    left = [fault.name for fault in local.node.faults.present() if fault.is_error and not fault.lasts]
    return f"faults remain: {left}" if left else ""


def _configure(local: LocalNode, inject: Callable[[int], Any]) -> str:
    local.down()
    with inject(0):
        up = local.up()
    named = local.node.faults.last
    if not up and (named is None or "injected" not in named.text):
        return f"configuration failed without a fault that names it: {named}"
    local.down()
    return "" if local.up() else f"no recovery: {[fault.text for fault in local.node.faults.present()]}"


def _save(local: LocalNode, inject: Callable[[int], Any]) -> str:
    _ready(local)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new" / "map.npz"
        return _call_map(local, inject, "_save", path) or _leftover(path)


def _load(local: LocalNode, inject: Callable[[int], Any]) -> str:
    _ready(local)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.npz"
        problem = _call_map(local, lambda at: ExitStack(), "_save", path)
        return problem or _call_map(local, inject, "_load", path)


def _call_map(local: LocalNode, inject: Callable[[int], Any], service: str, path: Path) -> str:
    """Call a service with the failing call, then again without it."""
    assert local.node.pipeline is not None and local.node.pipeline.world is not None
    call = getattr(local.node.pipeline.world, service)
    request = SimpleNamespace(path=str(path))
    answer = SimpleNamespace(success=None, message="")
    try:
        with inject(0):
            call(request, answer)
    except Exception as error:
        return f"{service} raised {type(error).__name__}, which ends the node"
    if not answer.success and "injected" not in answer.message and not answer.message:
        return f"{service} failed without a message"
    answer = SimpleNamespace(success=None, message="")
    call(request, answer)
    return "" if answer.success else f"{service} does not recover: {answer.message}"


def _leftover(path: Path) -> str:
    names = [file.name for file in path.parent.iterdir() if file != path]
    return f"left behind: {names}" if names else ""
