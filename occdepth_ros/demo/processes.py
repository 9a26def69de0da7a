"""Child processes of the demo: each has its own session and log file and ends with the demo."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from occdepth_ros.errors import OccDepthError

PATIENCE_S = (6.0, 3.0, 2.0)
"""Time to wait for the process to end after SIGINT, SIGTERM and SIGKILL, seconds."""


class ProcessError(OccDepthError):
    """A process of the demo failed."""


class Child:
    """Runs a module in its own process group.

    Args:
        name: name of the process in messages.
        module: module to run, as in `python -m`.
        arguments: command-line arguments of the module.
        log: file for standard output and standard error.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.started = time.monotonic()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OCCDEPTH_DEMO_PID": str(os.getpid())}
        command = [sys.executable, "-m", "occdepth_ros.demo.child", module, *arguments]
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while the process runs, the negated signal number if a signal ended it."""
        return self.process.poll()

    def check(self) -> None:
        """Raise if the process has ended with a failure.

        Raises:
            ProcessError: the exit code is not 0; the text contains the last lines of the log.
        """
        code = self.exit_code
        if code not in (None, 0):
            raise self.failure(f"the process {self.name} failed with exit code {code}")

    def failure(self, what: str) -> ProcessError:
        """Return an error with the last lines of the log."""
        return ProcessError(f"{what}; the end of its log:\n{self.tail()}\n", where=str(self.log))

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log; empty if it cannot be read."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def stop(self) -> int:
        """End the process group with SIGINT, SIGTERM and SIGKILL in turn. Returns the exit code."""
        for sign, patience in zip((signal.SIGINT, signal.SIGTERM, signal.SIGKILL), PATIENCE_S, strict=True):
            if self.process.poll() is None:
                self._signal(sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(patience)
        # child processes of the process may still run in its group
        self._signal(signal.SIGKILL)
        return int(self.process.wait())

    def _signal(self, sign: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, sign)
