"""Runs a verb on many drives: `--source 'drives/*'` starts one process per drive, here or on a Ray cluster.

The results of a drive are written to the folder `OUT/NAME`, its output to `OUT/NAME.log`. `OUT/NAME.json` is written
when the drive is complete; a later call with equal options skips it. A failed drive does not stop the others.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from occdepth_ros.commands.drives.task import REPORT, Outcome, Task, finished, run_task
from occdepth_ros.errors import OccDepthError, SourceError, pip_install
from occdepth_ros.files import create_folder, write_whole


def add_drive_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group(
        "many drives", "--source may be a pattern such as 'drives/*'; --out is a folder then"
    )
    text = "processes on this machine (default: one per GPU, or 1; with `--ray local` one per core)"
    group.add_argument("--workers", type=int, metavar="N", help=text)
    group.add_argument("--ray", metavar="ADDRESS", help="Ray cluster that runs the drives; `local` starts one here")


def is_pattern(source: Path | None) -> bool:
    """Return whether a source is a pattern of several drives."""
    return source is not None and not source.exists() and glob.has_magic(str(source))


def run_drives(
    verb: str, arguments: argparse.Namespace, results: Callable[[argparse.Namespace, Path], Mapping[str, Any]]
) -> int:
    """Run a verb on every drive that matches `arguments.source`; prints and writes one report.

    Args:
        verb: name of the verb.
        arguments: its arguments; `source` is a pattern and `out` a folder.
        results: maps the folder of one drive to the arguments that name its result files; one of these files must be
            the report, `REPORT` in the folder.

    Returns:
        0 if every drive is complete, 1 if one failed.

    Raises:
        SourceError: nothing matches.
        OutputError: the folder cannot be created.
        OccDepthError: `--workers` is not positive, or Ray is not available.
    """
    if arguments.workers is not None and arguments.workers < 1:
        raise OccDepthError(f"{arguments.workers} processes cannot run a drive", where="--workers", remedy="Give 1.")
    out = Path(arguments.out)
    create_folder(out)
    tasks = [_task(verb, arguments, name, source, results) for name, source in named_drives(arguments.source)]
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    open_tasks = []
    for task in tasks:
        earlier = finished(task)
        if earlier is None:
            open_tasks.append(task)
        else:
            outcomes.append(earlier)
    console = Console(stderr=True)
    run = _on_cluster if arguments.ray else _on_this_machine
    for outcome in run(open_tasks, arguments):
        outcomes.append(outcome)
        text = f"{outcome.name}: {outcome.state} after {outcome.seconds:.1f} s {outcome.error}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    report = summary(outcomes, time.perf_counter() - began)
    write_whole(out / REPORT, (json.dumps(report, indent=2) + "\n").encode())
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        _print_report(report, out)
    return 1 if report["failed"] else 0


def named_drives(pattern: Path) -> list[tuple[str, Path]]:
    """Return the drives that match a pattern, by unique names.

    Raises:
        SourceError: nothing matches.
    """
    # Path.glob takes no absolute patterns
    found = sorted(Path(path) for path in glob.glob(str(pattern)))  # noqa: PTH207
    if not found:
        raise SourceError("no drive matches", where=str(pattern), remedy="Quote the pattern, and check the folder.")
    common = Path(os.path.commonpath([path.absolute().parent for path in found]))
    return [("_".join(path.absolute().relative_to(common).parts), path) for path in found]


def summary(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """Return the report of all drives."""
    done = sum(outcome.state == "done" for outcome in outcomes)
    return {
        "drives": [asdict(outcome) for outcome in sorted(outcomes, key=lambda outcome: outcome.name)],
        "done": done,
        "skipped": sum(outcome.state == "skipped" for outcome in outcomes),
        "failed": sum(outcome.state == "failed" for outcome in outcomes),
        "seconds": round(seconds, 1),
        "drives_per_hour": round(3600 * done / seconds, 1) if done else 0.0,
    }


def _task(
    verb: str,
    arguments: argparse.Namespace,
    name: str,
    source: Path,
    results: Callable[[argparse.Namespace, Path], Mapping[str, Any]],
) -> Task:
    values = {**vars(arguments), "source": source, **results(arguments, Path(arguments.out) / name), "json": False}
    del values["run"]
    paths = [key for key, value in values.items() if isinstance(value, Path)]
    plain = {key: str(value.absolute()) if isinstance(value, Path) else value for key, value in values.items()}
    return Task(verb, name, plain, paths, str(Path(arguments.out).absolute()))


def _on_this_machine(tasks: Sequence[Task], arguments: argparse.Namespace) -> Iterator[Outcome]:
    """Run the tasks in `--workers` processes at a time, each on a free device."""
    devices = _devices(arguments.device)
    workers = arguments.workers or len(devices)
    free: queue.SimpleQueue[str] = queue.SimpleQueue()
    for index in range(workers):
        free.put(devices[index % len(devices)])
    threads = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0

    def run(task: Task) -> Outcome:
        device = free.get()
        try:
            return run_task(Task(**{**asdict(task), "values": {**task.values, "device": device}, "threads": threads}))
        finally:
            free.put(device)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(run, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _devices(device: str) -> list[str]:
    if device in ("auto", "cuda"):
        import torch

        return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or [device]
    return [device]


def _on_cluster(tasks: Sequence[Task], arguments: argparse.Namespace) -> Iterator[Outcome]:
    """Run each task as a Ray task, with one GPU if the cluster has GPUs. The machines share a file system."""
    try:
        import ray
    except ImportError as error:
        raise OccDepthError(
            "Ray is not installed", where="--ray", remedy="Install it: " + pip_install("'ray[default]'")
        ) from error
    # a cluster that is started here otherwise runs the drives with nice 15, and other work can stop them
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        cores = arguments.workers if arguments.ray == "local" else None
        ray.init(address=arguments.ray, num_cpus=cores, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OccDepthError(f"no cluster at {arguments.ray}: {error}", where="--ray") from error
    try:
        gpus = 1 if ray.cluster_resources().get("GPU") and arguments.device in ("auto", "cuda") else 0
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(run_task)
        pending = {remote.remote(task): task for task in tasks}
        while pending:
            (ready,), _ = ray.wait(list(pending), num_returns=1)
            task = pending.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayError as error:
                text = str(error).strip().splitlines()
                yield Outcome(task.name, task.values["source"], "failed", error=text[-1] if text else "Ray failed")
    finally:
        ray.shutdown()


def _print_report(report: Mapping[str, Any], out: Path) -> None:
    table = Table()
    for heading in ("drive", "state", "frames", "seconds", "error"):
        table.add_column(heading)
    for drive in report["drives"]:
        frames = (drive["report"] or {}).get("frames", "")
        table.add_row(drive["name"], drive["state"], str(frames), f"{drive['seconds']:.1f}", drive["error"])
    console = Console()
    console.print(table)
    line = f"{report['done']} done, {report['skipped']} skipped, {report['failed']} failed in {report['seconds']:.1f} s"
    console.print(f"{line}, {report['drives_per_hour']:.1f} drives per hour; report in {out / REPORT}", soft_wrap=True)
