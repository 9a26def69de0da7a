"""Steps of `make env`: one line per step on the terminal, command output in a log file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HEARTBEAT_S = 30.0


class StepError(Exception):
    """A failed step; the message contains the failure and the remedy."""


class Steps:
    """Announces and runs steps.

    Args:
        log: file that the output of every command is appended to.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.started = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        """Print one line of progress."""
        print(f"make env: [{time.monotonic() - self.started:4.0f} s] {text}", flush=True)

    def run(self, what: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None = None) -> None:
        """Run one command; its output goes to the log, progress to the terminal.

        Raises:
            StepError: the command failed; the text contains the last lines of its output.
        """
        self.say(what)
        start = time.monotonic()
        with self.log.open("a+", encoding="utf-8", errors="replace") as log:
            print(f"\n$ {' '.join(map(str, command))}", file=log, flush=True)
            begin = log.tell()
            process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=dict(env), cwd=cwd)
            try:
                while True:
                    try:
                        code = process.wait(timeout=HEARTBEAT_S)
                        break
                    except subprocess.TimeoutExpired:
                        self.say(f"  still at it, for {time.monotonic() - start:.0f} s; log: {self.log}")
            except BaseException:
                process.terminate()
                process.wait()
                raise
            if code != 0:
                log.seek(begin)
                raise StepError(explain(what, log.read(), self.log))


def explain(what: str, output: str, log: Path) -> str:
    """Return the failure with the end of its output and the remedy for common causes."""
    remedies = {  # the first match determines the remedy
        "No space left on device": "The disk is full: free 8 GB, or set OCCDEPTH_CACHE to a folder on another disk.",
        "Temporary failure in name resolution": "There is no network; run it again when there is.",
        "CERTIFICATE_VERIFY_FAILED": "A proxy signs the connections here; PIP_CERT=<its certificate file> names it.",
        "Could not fetch URL": "The package index does not answer; check network and proxy.",
        "Failed to establish a new connection": "The package index does not answer; check network and proxy.",
        "No matching distribution found": "The package index has no such version for this Python; "
        "PYTHON=/path/to/python3.12 make env chooses another one.",
        "Killed": "The system ran out of memory; close other programs and run it again.",
    }
    remedy = next((text for sign, text in remedies.items() if sign in output), "Running it again resumes there.")
    tail = "\n".join(output.splitlines()[-15:])
    return f"this failed: {what}\n{tail}\n{remedy} Full log: {log}"


@contextlib.contextmanager
def locked(path: Path, steps: Steps) -> Iterator[None]:
    """Hold a lock file, so that concurrent builds of one layer wait for each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            steps.say(f"another build holds {path}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(mode)
    temporary.replace(path)


def main_guard(error: Exception) -> int:
    """Print an error as `make env` prints its errors; return the exit code."""
    print(f"make env: {error}", file=sys.stderr, flush=True)
    return 1
