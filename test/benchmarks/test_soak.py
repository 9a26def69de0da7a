"""The soak ends its processes, and its short parts hold."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")

from benchmarks.soak import injection, messages
from benchmarks.soak.local_node import local_node

ROOT = Path(__file__).resolve().parents[2]
PART = """
import sys, time
from pathlib import Path
from benchmarks.soak import __main__ as soak, cycles
from benchmarks.soak.processes import NodeProcess

def run(full):
    node = NodeProcess("replay", Path(sys.argv[1]), 102, source="sample", loop=True)
    print(node.process.pid, flush=True)
    time.sleep(120)

cycles.run = run
sys.exit(soak.main(["cycles"]))
"""


@pytest.mark.ros
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_soak_leaves_no_node_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PART, str(tmp_path / "log")]
    # coverage.py replaces the handler of SIGTERM in every process that it measures
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True) as soak:
        assert soak.stdout is not None and soak.stderr is not None
        node = next(int(line) for line in soak.stdout if line.strip().isdecimal())
        soak.send_signal(number)
        assert soak.wait(120) == 130, soak.stderr.read()
    assert not Path(f"/proc/{node}").exists()


@pytest.mark.ros
def test_cycles_leave_no_entities_in_the_callback_group_of_the_node() -> None:
    with local_node(map_mode="always") as local:
        sizes = []
        for _ in range(3):
            assert local.up()
            local.provide()
            assert local.process(local.pair())
            local.down()
            sizes.append(len(local.node.default_callback_group.entities))
    assert sizes[0] == sizes[-1] > 0


@pytest.mark.ros
def test_a_failed_look_up_of_a_transform_is_named_and_does_not_remain() -> None:
    results = injection.run(False, "TF look-up")
    assert [result.holds for result in results] == [True, True], [result.measured for result in results]


def test_generated_messages_are_accepted_or_refused(capfd: pytest.CaptureFixture[str]) -> None:
    checks = messages.checks()
    rng = random.Random(1)
    for name, check in checks.items():
        result = messages.generate(name, check, 200, rng)
        assert result.holds, result.measured
        accepted = int(result.measured.split()[0])
        assert 0 < accepted < 200, f"{name}: {result.measured}"
