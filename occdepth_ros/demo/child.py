"""Run a module as a child process of the demo; the child ends when the demo ends, also after a crash.

`python -m occdepth_ros.demo.child MODULE [ARGUMENTS...]`
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Request SIGTERM at the end of the parent process, then run the module."""
    parent = int(os.environ.get("OCCDEPTH_DEMO_PID", os.getppid()))
    # a demo started as a background job ignores SIGINT, and child processes inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the demo ended before its process could start")
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
