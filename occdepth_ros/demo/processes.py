"""Child processes of the demo: own session each, logs in files, and none of them outlives the demo."""

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
"""How long SIGINT, SIGTERM and SIGKILL may take, seconds."""


class ProcessError(OccDepthError):
    """A process of the demo that failed."""


class Child:
    """A module in a process group of its own.

    Args:
        name: what the process is called in messages.
        module: what to run, as in `python -m`.
        arguments: its command line.
        log: file that takes its output.
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
        """Exit code, None while it runs; negative is the signal that ended it."""
        return self.process.poll()

    def check(self) -> None:
        """Raise when the process has ended with a failure.

        Raises:
            ProcessError: with the last lines of its log.
        """
        code = self.exit_code
        if code not in (None, 0):
            raise self.failure(f"the process {self.name} failed with exit code {code}")

    def failure(self, what: str) -> ProcessError:
        """An error with the tail of the log."""
        return ProcessError(f"{what}; the end of its log:\n{self.tail()}\n", where=str(self.log))

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def stop(self) -> int:
        """End the whole group: asked politely first. Returns the exit code."""
        for sign, patience in zip((signal.SIGINT, signal.SIGTERM, signal.SIGKILL), PATIENCE_S, strict=True):
            if self.process.poll() is None:
                self._signal(sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(patience)
        # what the process itself may have left in its group
        self._signal(signal.SIGKILL)
        return int(self.process.wait())

    def _signal(self, sign: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, sign)
