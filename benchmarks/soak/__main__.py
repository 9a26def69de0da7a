"""`make soak` (`python -m benchmarks.soak [PART ...]`): run the parts, and print the table of docs/reliability.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module

from benchmarks.__main__ import machine
from benchmarks.soak.result import Result
from occdepth_ros.nodes.signals import interrupted_once

PARTS = ("endurance", "cycles", "injection", "messages", "signals", "transport")


@interrupted_once()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code is 1 if a limit does not hold, and 130 after SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--hours", type=float, default=0.0, help="duration of the endurance part; the others run in full"
    )
    parsed = parser.parse_args(arguments)
    unknown = set(parsed.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    full = parsed.hours > 0
    described = ", ".join(f"{key} {value}" for key, value in machine().items())
    print(f"{time.strftime('%Y-%m-%d')}; {'full' if full else 'short'} run; {described}\n")
    print("| part | property | measured | goal | holds |\n|---|---|---|---|---|", flush=True)
    failed = False
    for name in parsed.parts or PARTS:
        module = import_module(f"benchmarks.soak.{name}")
        run: Callable[..., list[Result]] = module.run
        if name == "endurance" and full:
            run = partial(run, seconds=3600 * parsed.hours)
        try:
            results = run(full)
        except KeyboardInterrupt:
            print(f"interrupted in the part {name}", file=sys.stderr)
            return 130
        for result in results:
            holds = {True: "yes", False: "**no**", None: "-"}[result.holds]
            cells = (result.part, result.what, result.measured.replace("|", "/").replace("\n", " "), result.goal, holds)
            print(f"| {' | '.join(cells)} |", flush=True)
            failed |= result.holds is False
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
